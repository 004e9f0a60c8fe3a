//! The numbers of a figure as CSV, one value a line.

use crate::validate::figure::Picture;

/// What is drawn, in columns that fit its kind; shares are fractions of 1. Attention has none: it is an image.
pub fn csv(picture: &Picture) -> Option<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Into memory, and all of one length: no record is refused.
    let mut line = |cells: &[String]| drop(writer.write_record(cells));
    let head = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    match picture {
        Picture::Bars { groups, series, lines, .. } => {
            line(&head(&["series", "group", "value", "low", "high", "paper"]));
            for s in series {
                for (i, group) in groups.iter().enumerate() {
                    let interval = s.intervals.get(i).copied().flatten();
                    let (low, high) = (interval.map(|x| x.0), interval.map(|x| x.1));
                    let value = s.values.get(i).copied().flatten();
                    let paper = s.marks.get(i).copied().flatten();
                    line(&[s.label.clone(), group.clone(), number(value), number(low), number(high), number(paper)]);
                }
            }
            for level in lines {
                let empty = String::new;
                line(&[level.label.clone(), empty(), number(Some(level.value)), empty(), empty(), empty()]);
            }
        }
        Picture::Lines { series, lines, .. } => {
            line(&head(&["series", "x", "y", "low", "high"]));
            for s in series {
                for (i, &(x, y)) in s.points.iter().enumerate() {
                    let (low, high) = (s.band.get(i).map(|b| b.0), s.band.get(i).map(|b| b.1));
                    line(&[s.label.clone(), number(Some(x)), number(Some(y)), number(low), number(high)]);
                }
            }
            for level in lines {
                line(&[level.label.clone(), String::new(), number(Some(level.value)), String::new(), String::new()]);
            }
        }
        Picture::Matrix { rows, columns, values, .. } => {
            line(&head(&["row", "column", "value"]));
            for (i, value) in values.iter().enumerate().take(rows.len() * columns.len()) {
                let (row, column) = (&rows[i / columns.len()], &columns[i % columns.len()]);
                line(&[row.clone(), column.clone(), number(Some(*value))]);
            }
        }
        Picture::Map { pairs, .. } => {
            line(&head(&["clip", "audio_x", "audio_y", "midi_x", "midi_y"]));
            for pair in pairs {
                let places = [pair.audio.0, pair.audio.1, pair.midi.0, pair.midi.1].map(|x| x.to_string());
                line(&[&[pair.clip.to_string()][..], &places].concat());
            }
        }
        Picture::Histogram { edges, series, .. } => {
            line(&head(&["series", "from", "to", "share"]));
            for s in series {
                for (bin, share) in edges.windows(2).zip(&s.values) {
                    line(&[s.label.clone(), number(Some(bin[0])), number(Some(bin[1])), number(Some(*share))]);
                }
            }
        }
        Picture::Attention(_) => return None,
    }
    writer.into_inner().ok().map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Nothing where there is no number.
fn number(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map(|value| value.to_string()).unwrap_or_default()
}

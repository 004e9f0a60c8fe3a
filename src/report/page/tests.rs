//! A page of made-up findings. `DESCANT_PAGE=FOLDER` keeps it for looking at.

use super::*;
use crate::report::figures::tests::figures;
use crate::validate::figure::{Clip, Figure, MapPair, Picture};
use crate::validate::findings::{Claim, Unit, Verdict};

fn table(id: &str, unit: Unit, rows: Vec<Row>) -> Table {
    let (title, source) = (format!("Numbers of {id}"), "table 6".to_owned());
    Table { id: id.into(), title, source, unit, null: "chance".into(), rows }
}

fn row(quantity: &str, ours: f64, paper: Option<f64>) -> Row {
    let interval = Some((ours - 0.021, ours + 0.013));
    Row { interval, ..Row::new(quantity, ours).paper(paper).null(0.039) }
}

fn test(number: &str, name: &str, findings: Findings) -> TestReport {
    TestReport {
        number: number.into(),
        name: name.into(),
        asks: format!("what {name} asks?"),
        command: format!("engine validate runs/a tests={number}"),
        hash: "0123456789abcdef".into(),
        outcome: Outcome::Found(findings),
    }
}

/// A run whose numbers move with `shift`; two of them share the paper's figures and the clips.
fn run(name: &str, shift: f64) -> RunReport {
    let claim = |claim: &str, verdict: Verdict| Claim {
        claim: claim.into(),
        source: "section 5.2".into(),
        judgement: verdict.because("as measured here"),
    };
    let scoreboard = Findings {
        summary: "S is what it is.".into(),
        tables: vec![table(
            "scoreboard",
            Unit::Share,
            vec![
                row("S", 0.812 + shift, Some(0.838)).judged(Verdict::Held.because("the interval reaches the paper's")),
                row("R@1 audio→MIDI", 0.28 + shift, Some(0.3)),
                row("R@1 MIDI→audio", 0.26 + shift, None),
                row("S of pitch classes × 8 time slices, nothing learned", 0.981, None),
                Row::missing("hard negatives won", "no hard negatives in this split"),
            ],
        )],
        claims: vec![
            claim("Matches are found far above chance", Verdict::Held),
            claim(
                "The model beats D0 by 6 points",
                if shift > 0.0 { Verdict::NotHeld } else { Verdict::NotComparable },
            ),
        ],
        notes: vec!["256 candidates each.".into()],
        ..Findings::default()
    };
    let causal = Findings {
        summary: "A4 matters.".into(),
        tables: vec![
            table(
                "causal",
                Unit::Points,
                ["A4, zero", "A4, noise", "A4, shuffle", "D4, zero"]
                    .iter()
                    .enumerate()
                    .map(|(i, name)| row(name, -0.4 + 0.11 * i as f64 + shift, Some(-0.45 + 0.1 * i as f64)))
                    .collect(),
            ),
            table(
                "alignment",
                Unit::Number(3),
                vec![row("CKA, mean", 0.41 + shift, Some(0.5)), row("RSA, mean", 0.3, None)],
            ),
            table(
                "bands",
                Unit::Number(3),
                (0..8)
                    .map(|i| row(&format!("band {i} ({}–{} Hz)", 47 << i, 94 << i), 0.02 * f64::from(i), None))
                    .collect(),
            ),
            table(
                "transposition",
                Unit::Share,
                vec![row("retention −3", 0.6, Some(0.5)), row("retention +3", 0.7, None)],
            ),
        ],
        figures: figures().into_iter().filter(|figure| !matches!(figure.picture, Picture::Map { .. })).collect(),
        ..Findings::default()
    };
    let maps = |method: &str, salt: u32| Figure {
        id: format!("map-{}", method.to_lowercase()),
        title: method.into(),
        source: "figure 9".into(),
        caption: "Pairs.".into(),
        picture: Picture::Map { method: method.into(), pairs: pairs(2_000, salt) },
    };
    let embedding = Findings { figures: vec![maps("t-SNE", 1), maps("UMAP", 977)], ..Findings::default() };
    let skipped = TestReport {
        outcome: Outcome::Skipped("there is one seed".into()),
        ..test("11", "replication", Findings::default())
    };
    RunReport {
        name: name.into(),
        arm: "a4r".into(),
        about: vec![("split".into(), "test".into()), ("S".into(), format!("{:.1} %", 81.2 + 100.0 * shift))],
        command: format!("engine validate runs/{name}"),
        tests: vec![
            test("12", "scoreboard", scoreboard),
            test("01", "causal ablation", causal),
            test("10", "maps", embedding),
            skipped,
        ],
        clips: Some(clips()),
    }
}

fn pairs(count: u32, salt: u32) -> Vec<MapPair> {
    let wave = |i: u32, speed: f32| (i as f32 * speed + salt as f32).sin();
    let place = |i: u32| {
        let piece = i % 40;
        (3.0 * wave(piece, 1.7) + 0.5 * wave(i, 0.37), 3.0 * wave(piece, 2.9) + 0.5 * wave(i, 0.91))
    };
    let pair = |i: u32| {
        let (x, y) = place(i);
        MapPair { audio: (x, y), midi: (x + 0.12 * wave(i, 5.1), y + 0.12 * wave(i, 3.3)), clip: i }
    };
    (0..count).map(pair).collect()
}

/// 2,000 clips, the first 60 with a sound of four seconds.
fn clips() -> Clips {
    let clip = |i: u32| Clip {
        piece: i % 40,
        start: f64::from(i) * 1.5,
        cosine: 0.7,
        notes: (0..32).map(|n| (48 + ((i + 5 * n) % 30) as u8, 60 + n as u8, (n * 120) as u16, 200)).collect(),
        sound: if i < 60 {
            let wave = (0..32_000).map(|t| (f64::from(t) * 0.05 * f64::from(i % 7 + 3)).sin());
            base64::Engine::encode(
                &base64::prelude::BASE64_STANDARD,
                wave.map(|x| if x < 0.0 { 0x20 } else { 0xa0 }).collect::<Vec<u8>>(),
            )
        } else {
            String::new()
        },
    };
    Clips {
        pieces: (0..40).map(|i| format!("Composer {}: piece {i}", i % 9)).collect(),
        clips: (0..2_000).map(clip).collect(),
    }
}

/// The page of these runs, in a folder that is kept where the developer names one.
fn written(name: &str, runs: &[RunReport]) -> (tempfile::TempDir, std::path::PathBuf, String) {
    let temp = tempfile::tempdir().unwrap();
    let folder = std::env::var_os("DESCANT_PAGE").map_or(temp.path().to_path_buf(), Into::into).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    write(&folder, runs).unwrap();
    let page = std::fs::read_to_string(folder.join(PAGE)).unwrap();
    (temp, folder, page)
}

/// Nothing is loaded, and what can be loaded is a file of the report.
fn self_contained(page: &str) {
    assert!(page.len() <= MOST_BYTES, "{} bytes", page.len());
    for attribute in ["src=\"", "href=\"", "url("] {
        for rest in page.split(attribute).skip(1) {
            let fits = ["#", "tables/", "figures/", "data:"].iter().any(|start| rest.starts_with(start));
            assert!(fits, "{attribute}{}", &rest[..60.min(rest.len())]);
        }
    }
    let foreign = page.replace("http://www.w3.org/2000/svg", "");
    assert!(!foreign.contains("http://") && !foreign.contains("https://") && !foreign.contains("@import"));
}

#[test]
fn the_page_of_one_run_has_every_number_and_its_files() {
    let (_temp, folder, page) = written("one", &[run("a4r-42", 0.0)]);
    self_contained(&page);
    for number in ["81.2 %", "83.8 %", "79.1 to 82.5 %", "−40.0 pp", "−42.1 to −38.7 pp", "0.410", "3.9 %", "–"]
    {
        assert!(page.contains(number), "{number}");
    }
    for text in [
        "the interval reaches the paper&#39;s",
        "no hard negatives in this split",
        "Not asked: there is one seed",
        "engine validate runs/a tests=01",
        "0123456789abcdef",
        "paper: table 6",
        "What needs no learning finds more matches than this model (S = 81.2 %): pitch classes × 8 time slices (98.1 %).",
        "Change under A4 ablation",
    ] {
        assert!(page.replace('\'', "&#39;").contains(text), "{text}");
    }
    for link in page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()) {
        if link.starts_with("tables/") || link.starts_with("figures/") {
            assert!(folder.join(link).is_file(), "{link}");
        }
        assert!(!link.starts_with('#') || page.contains(&format!("id=\"{}\"", &link[1..])), "{link}");
    }
    let csv = std::fs::read_to_string(folder.join("tables/scoreboard.csv")).unwrap();
    assert!(
        csv.contains("a4r-42,S,0.838,0.812,0.791,0.8250000000000001,0.039,held,the interval reaches the paper's\n"),
        "{csv}"
    );
    assert!(csv.contains("a4r-42,hard negatives won,,,,,,not comparable,no hard negatives in this split\n"), "{csv}");
}

#[test]
fn several_runs_stand_side_by_side() {
    let mut other = run("d4a4-42", 0.02);
    other.arm = "d4a4".into();
    other.tests.remove(2);
    other.clips = None;
    let (_temp, folder, page) = written("two", &[run("a4r-42", 0.0), other]);
    self_contained(&page);
    assert!(page.contains("81.2 %") && page.contains("83.2 %"));
    // The paper's column once, and a block of columns a run.
    assert_eq!(page.matches("<th class=\"number\" scope=\"col\" rowspan=\"2\">Paper</th>").count(), 4);
    assert!(page.contains("<th class=\"run\" scope=\"colgroup\" colspan=\"3\">d4a4-42</th>"));
    assert!(page.contains("<tr class=\"differs\"><th scope=\"row\">arm</th><td>a4r</td><td>d4a4</td>"));
    // Curves of both runs share axes; matrices stand side by side.
    assert!(folder.join("figures/noise-1.svg").is_file() || folder.join("figures/noise.svg").is_file());
    assert!(folder.join("figures/matrix-2.png").is_file() && folder.join("figures/map-umap-1.svg").is_file());
    let bars = std::fs::read_to_string(folder.join("figures/lying-bars.svg")).unwrap();
    assert!(bars.contains(">a4r-42<") && bars.contains(">d4a4-42<"));
    assert!(page.contains("data-verdicts=\"not comparable,not held\""));
}

#[test]
fn hostile_text_stays_text() {
    let hostile = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"' & é";
    let mut run = run(hostile, 0.0);
    run.about.push((hostile.into(), hostile.into()));
    run.command = hostile.into();
    run.tests[0].name = hostile.into();
    run.clips.as_mut().unwrap().pieces[0] = hostile.into();
    if let Outcome::Found(findings) = &mut run.tests[0].outcome {
        findings.summary = hostile.into();
        findings.tables[0].title = hostile.into();
        findings.tables[0].rows[0].quantity = hostile.into();
        findings.claims[0].claim = hostile.into();
        findings.notes.push(hostile.into());
    }
    if let Outcome::Found(findings) = &mut run.tests[1].outcome {
        findings.figures[0].title = hostile.into();
        findings.figures[0].caption = hostile.into();
        if let Picture::Bars { groups, axis, .. } = &mut findings.figures[0].picture {
            (groups[0], *axis) = (hostile.into(), hostile.into());
        }
    }
    let (_temp, _, page) = written("hostile", &[run]);
    self_contained(&page.replace("src=x", ""));
    assert!(!page.contains("<img") && !page.contains("<script>alert"));
    assert_eq!(page.matches("</script>").count(), 4);
    assert!(page.contains("&lt;/script&gt;&lt;script&gt;alert(1)") && page.contains("\\u003c/script>"));
}

#[test]
fn recordings_that_do_not_fit_are_left_out() {
    let runs = [run("a", 0.0)];
    let whole = map::data(&runs, MOST_BYTES);
    assert_eq!(whole.matches(r#","a":""#).count(), 60);
    let room = whole.len() - 100_000;
    let less = map::data(&runs, room);
    assert!(less.len() <= room && less.matches(r#","a":""#).count() == 57, "{}", less.len());
    assert_eq!(map::data(&[RunReport::default()], MOST_BYTES), "");
}

#[test]
fn what_has_no_place_in_a_page_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let message = |runs: &[RunReport]| write(folder.path(), runs).unwrap_err().to_string();
    assert_eq!(message(&[]), "report: runs: expected at least one, got none");
    assert_eq!(message(&[run("a", 0.0), run("a", 0.1)]), "report: run: expected each once, got `a` twice");
    let mut bad = run("a", 0.0);
    if let Outcome::Found(findings) = &mut bad.tests[0].outcome {
        findings.tables[0].id = "../secret".into();
    }
    let expected = "report: id of a table or figure: expected lower-case letters, digits and hyphens, got `../secret`";
    assert_eq!(message(&[bad]), expected);
}

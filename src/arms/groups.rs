//! Names for several arms at once.

use super::{ARMS, Entry};

/// The groups and what they hold.
pub const GROUPS: [(&str, &str); 6] = [
    ("all13", "the descriptors and mechanisms of table 13"),
    ("families", "the architecture families of table 3"),
    ("all24", "both"),
    ("controls", "the parameter-matched controls of test 02"),
    ("canonical", "the four models of the validation battery"),
    ("all", "everything"),
];

/// The four of the validation battery (paper, section 5).
const CANONICAL: [&str; 4] = ["d0", "d4a4", "a4r", "d4-a4r"];

/// The arms of a group of [`GROUPS`], its name in any case; `None` for another name.
pub fn group(name: &str) -> Option<Vec<&'static Entry>> {
    let belongs: fn(&Entry) -> bool = match name.to_lowercase().as_str() {
        "all13" => in_table_13,
        "families" => in_table_3,
        "all24" => |entry| in_table_13(entry) || in_table_3(entry),
        "controls" => |entry| entry.control.is_some(),
        "canonical" => |entry| CANONICAL.contains(&entry.name),
        "all" => |_| true,
        _ => return None,
    };
    Some(ARMS.iter().filter(|entry| belongs(entry)).collect())
}

/// Only table 2 gives the share of hard negatives won after 5 epochs.
fn in_table_13(entry: &Entry) -> bool {
    entry.paper.hard_won.is_some()
}

fn in_table_3(entry: &Entry) -> bool {
    entry.control.is_none() && entry.paper.screening.is_some() && !in_table_13(entry)
}

//! The canonical evaluation under several conditions, side by side.

use std::fmt::Write;

use super::canonical::{Canonical, System};
use super::condition::Condition;
use super::table::{Unit, align};

/// One [`Canonical`] for each condition, on the same queries and pools.
pub struct Under(pub Vec<(Condition, Canonical)>);

impl Under {
    /// S of the model and of the baselines, a column for each condition, and what the conditions are.
    pub fn table(&self) -> String {
        let Some((_, first)) = self.0.first() else { return String::new() };
        let systems = |found: &Canonical| -> Vec<System> {
            std::iter::once(&found.model).chain(&found.baselines).cloned().collect()
        };
        let names = self.0.iter().map(|(condition, _)| condition.name().to_owned());
        let mut rows = vec![std::iter::once("S on canonical pools".to_owned()).chain(names).collect::<Vec<_>>()];
        for (i, system) in systems(first).iter().enumerate() {
            let cells = self.0.iter().map(|(_, found)| Unit::Percent.interval(systems(found)[i].canonical.s));
            rows.push(std::iter::once(system.name.clone()).chain(cells).collect());
        }
        let chance = self.0.iter().map(|(_, found)| Unit::Percent.value(found.chance.s));
        rows.push(std::iter::once("chance".to_owned()).chain(chance).collect());
        let mut text = first.heading();
        align(&rows, &mut text);
        text.push('\n');
        for (condition, _) in &self.0 {
            let _ = writeln!(text, "{}: {}.", condition.name(), condition.about());
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::canonical::evaluate;
    use crate::eval::canonical::tests::planted;
    use crate::eval::pools::Protocol;

    #[test]
    fn conditions_stand_side_by_side() {
        let found = |noise: f64| {
            let (pairs, items) = planted(1200, noise);
            evaluate("a4r", pairs.embeddings(), &items, std::slice::from_ref(&pairs), &Protocol::default()).unwrap()
        };
        let table = Under(vec![(Condition::Clean, found(0.0)), (Condition::Clips, found(2.0))]).table();
        let row = |name: &str| {
            table.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{table}")).to_owned()
        };
        assert!(row("S on canonical pools").ends_with("clips") && row("chance").ends_with("3.9"), "{table}");
        assert!(row("a4r").contains("100.0 [100.0, 100.0]") && row("planted").matches('[').count() == 2, "{table}");
        assert!(table.contains("\nclips: one second of either side"), "{table}");
    }
}

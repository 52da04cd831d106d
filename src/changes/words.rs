//! A difference in words, for people.

use std::fmt;

use super::difference::{Became, Changed, Difference};

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return writeln!(f, "the configurations are the same");
        }
        for change in &self.changes {
            let sign = match change.became {
                Became::Added => '+',
                Became::Removed => '-',
                Became::Changed => '~',
            };
            writeln!(f, "{sign} {} {}", change.what, change.name)?;
            for Changed { key, old, new } in &change.keys {
                match (old, new) {
                    (Some(old), Some(new)) => writeln!(f, "    {key}: {old} → {new}")?,
                    (None, Some(new)) if change.became == Became::Added => writeln!(f, "    {key}: {new}")?,
                    (None, Some(new)) => writeln!(f, "    + {key}: {new}")?,
                    (Some(old), None) if change.became == Became::Removed => writeln!(f, "    {key}: {old}")?,
                    (Some(old), None) => writeln!(f, "    - {key}: {old}")?,
                    (None, None) => {}
                }
            }
        }
        if !self.refused.is_empty() {
            return writeln!(f, "\nA reload would be refused: {} cannot be changed by one.", self.refused.join(" and "));
        }
        if self.lost.is_empty() {
            return writeln!(f, "\nA reload would lose nothing that the gateway has learnt.");
        }
        writeln!(f, "\nA reload would lose:")?;
        for loss in &self.lost {
            writeln!(f, "  {} {}: {}, since {}", loss.what, loss.name, loss.lost, loss.because)?;
        }
        Ok(())
    }
}

//! Checkpoints: chain heads that the operator keeps outside the database, as lines that `audit verify` printed.

use std::collections::{BTreeMap, VecDeque};

use crate::domain::audit::Hash;
use crate::domain::person::PartnerId;

/// Checkpoints of any number of partners and runs of `audit verify`.
#[derive(Clone, Debug, Default)]
pub struct AuditCheckpoints(BTreeMap<String, (PartnerId, Vec<(i64, Hash)>)>);

impl AuditCheckpoints {
    /// The header of the columns of [`line`](Self::line).
    pub const HEADER: &'static str = "partner\tseals\tevents\twaiting\thead";

    /// Formats one checkpoint. Only partner, seals and head are parsed again.
    #[must_use]
    pub fn line(partner: &PartnerId, [seals, events, waiting]: [i64; 3], head: Hash) -> String {
        format!("{partner}\t{seals}\t{events}\t{waiting}\t{}", hex::encode(head))
    }

    /// Parses the lines of one or more runs. Headers and empty lines are skipped.
    ///
    /// # Errors
    /// The number of the first invalid line.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let mut heads = Self::default();
        for (index, line) in text.lines().enumerate() {
            if !line.trim().is_empty() && line != Self::HEADER {
                let (partner, seals, head) = parse_line(line).ok_or(index + 1)?;
                let of_partner = heads.0.entry(partner.to_string()).or_insert_with(|| (partner, Vec::new()));
                of_partner.1.push((seals, head));
            }
        }
        for (_, of_partner) in heads.0.values_mut() {
            of_partner.sort_unstable();
            of_partner.dedup();
        }
        Ok(heads)
    }

    /// The partners that have checkpoints.
    pub(in crate::service) fn partners(&self) -> VecDeque<PartnerId> {
        self.0.values().map(|(partner, _)| partner.clone()).collect()
    }

    /// A partner's checkpoints, the shortest chain first.
    pub(in crate::service) fn of(&self, partner: &PartnerId) -> &[(i64, Hash)] {
        self.0.get(partner.as_str()).map_or(&[], |(_, heads)| heads)
    }
}

fn parse_line(line: &str) -> Option<(PartnerId, i64, Hash)> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [partner, seals, _events, _waiting, head] = fields[..] else { return None };
    let seals = seals.parse().ok().filter(|seals| *seals >= 0)?;
    Some((PartnerId::parse(partner)?, seals, hex::decode(head).ok()?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_lines_of_many_runs_are_parsed() {
        let [acme, globex] = ["acme", "globex"].map(|name| PartnerId::parse(name).unwrap());
        let lines = [
            AuditCheckpoints::HEADER.to_owned(),
            AuditCheckpoints::line(&acme, [2, 7, 0], [2; 32]),
            String::new(),
            AuditCheckpoints::HEADER.to_owned(),
            AuditCheckpoints::line(&acme, [1, 5, 3], [1; 32]),
            AuditCheckpoints::line(&acme, [2, 7, 9], [2; 32]),
            AuditCheckpoints::line(&globex, [0, 0, 1], [0; 32]),
        ];
        let checkpoints = AuditCheckpoints::parse(&lines.join("\n")).unwrap();
        assert_eq!(checkpoints.of(&acme), [(1, [1; 32]), (2, [2; 32])]);
        assert_eq!(checkpoints.of(&globex), [(0, [0; 32])]);
        assert_eq!(checkpoints.partners(), [acme, globex]);
        assert_eq!(checkpoints.of(&PartnerId::parse("initech").unwrap()), []);
    }

    #[test]
    fn the_number_of_an_invalid_line_is_returned() {
        let head = hex::encode([1; 32]);
        for line in [
            "acme".to_owned(),
            format!("acme\t1\t1\t{head}"),
            format!("Acme\t1\t1\t0\t{head}"),
            format!("acme\t-1\t1\t0\t{head}"),
            format!("acme\tone\t1\t0\t{head}"),
            format!("acme\t1\t1\t0\t{}", &head[2..]),
            format!("acme\t1\t1\t0\t{head}\tmore"),
        ] {
            assert_eq!(AuditCheckpoints::parse(&format!("\n{line}")).unwrap_err(), 2, "{line}");
        }
    }
}

//! Heads of chains that somebody kept outside of the database: the lines that `audit verify` printed earlier.

use std::collections::{BTreeMap, VecDeque};

use crate::domain::audit::Hash;
use crate::domain::person::PartnerId;

/// Kept heads of any number of partners and moments.
#[derive(Clone, Debug, Default)]
pub struct AuditCheckpoints(BTreeMap<String, (PartnerId, Vec<(i64, Hash)>)>);

impl AuditCheckpoints {
    /// The names of the columns, in the order of [`line`](Self::line).
    pub const HEADER: &'static str = "partner\tseals\tevents\twaiting\thead";

    /// One line to keep. Only partner, seals and head are read again.
    #[must_use]
    pub fn line(partner: &PartnerId, [seals, events, waiting]: [i64; 3], head: Hash) -> String {
        format!("{partner}\t{seals}\t{events}\t{waiting}\t{}", hex::encode(head))
    }

    /// Reads lines, of one run or of many. Headers and empty lines are passed over.
    ///
    /// # Errors
    /// The number of the first line that is none of these.
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

    /// Whose heads there are.
    pub(in crate::service) fn partners(&self) -> VecDeque<PartnerId> {
        self.0.values().map(|(partner, _)| partner.clone()).collect()
    }

    /// A partner's heads, the shortest chain first.
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
    fn what_was_printed_can_be_read_again_from_many_runs() {
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
        let kept = AuditCheckpoints::parse(&lines.join("\n")).unwrap();
        assert_eq!(kept.of(&acme), [(1, [1; 32]), (2, [2; 32])]);
        assert_eq!(kept.of(&globex), [(0, [0; 32])]);
        assert_eq!(kept.partners(), [acme, globex]);
        assert_eq!(kept.of(&PartnerId::parse("initech").unwrap()), []);
    }

    #[test]
    fn a_line_that_was_not_printed_is_told_by_its_number() {
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

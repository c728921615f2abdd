//! Who of a group shall own a partition, as every member with the same view of the group computes it: that of an index
//! belongs to the member with that index while it is there, every other one to the members in turn.

use std::collections::BTreeSet;

/// Who shall own `partition`: `preferred` if it is there, else the one whose turn it is.
pub(super) fn owner<'m, M: Ord>(partition: u32, preferred: Option<&M>, members: &'m BTreeSet<M>) -> Option<&'m M> {
    if let Some(member) = preferred.and_then(|preferred| members.get(preferred)) {
        return Some(member);
    }
    let turn = partition as usize % members.len().max(1);
    members.iter().nth(turn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_belongs_to_its_index_and_an_orphan_to_whose_turn_it_is() {
        let members = BTreeSet::from([0, 1, 3]);
        let owners = |preferred: fn(u32) -> Option<u32>| -> Vec<_> {
            (0..5).map(|partition| owner(partition, preferred(partition).as_ref(), &members)).collect()
        };
        assert_eq!(owners(|partition| Some(partition % 4)), [Some(&0), Some(&1), Some(&3), Some(&3), Some(&0)]);
        assert_eq!(owners(|_| None), [Some(&0), Some(&1), Some(&3), Some(&0), Some(&1)]);
        assert_eq!(owner(1, Some(&7), &BTreeSet::new()), None);
    }
}

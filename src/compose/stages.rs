//! In which order calls can be made: each after all that it refers to.

/// For each call, its stage from 0 on: one more than the last stage of what it refers to. `needs` are the calls that each refers to.
///
/// Where calls go round in a ring, these are the calls of one, each of which needs the next, and the last one the first.
pub(crate) fn stages(needs: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    let mut stages = vec![None; needs.len()];
    loop {
        let mut found = false;
        for call in 0..needs.len() {
            if stages[call].is_none()
                && let Some(stage) = needs[call].iter().try_fold(0, |stage, &need| Some(stage.max(stages[need]? + 1)))
            {
                stages[call] = Some(stage);
                found = true;
            }
        }
        if !found {
            break;
        }
    }
    stages.iter().copied().collect::<Option<Vec<usize>>>().ok_or_else(|| ring(needs, &stages))
}

/// Calls that go round, among those that have no stage: each of these needs another one of them.
fn ring(needs: &[Vec<usize>], stages: &[Option<usize>]) -> Vec<usize> {
    let mut way = Vec::new();
    let mut at = stages.iter().position(Option::is_none);
    while let Some(call) = at {
        if let Some(begin) = way.iter().position(|&passed| passed == call) {
            return way.split_off(begin);
        }
        way.push(call);
        at = needs[call].iter().copied().find(|&need| stages[need].is_none());
    }
    way
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_a_stage_behind_what_it_needs() {
        assert_eq!(stages(&[]), Ok(vec![]));
        assert_eq!(stages(&[vec![], vec![], vec![]]), Ok(vec![0, 0, 0]));
        assert_eq!(stages(&[vec![2], vec![0, 2], vec![]]), Ok(vec![1, 2, 0]));
        assert_eq!(stages(&[vec![], vec![0, 0], vec![1, 0]]), Ok(vec![0, 1, 2]));
    }

    #[test]
    fn a_ring_is_told_without_what_only_leads_to_it() {
        assert_eq!(stages(&[vec![0]]), Err(vec![0]));
        assert_eq!(stages(&[vec![1], vec![0]]), Err(vec![0, 1]));
        assert_eq!(stages(&[vec![1], vec![2], vec![3], vec![1], vec![]]), Err(vec![1, 2, 3]));
        assert_eq!(stages(&[vec![], vec![0, 2], vec![0, 1]]), Err(vec![1, 2]));
    }
}

use super::*;

fn paths(texts: &[&str]) -> Vec<Path> {
    texts.iter().map(|text| text.parse().expect("a path")).collect()
}

fn drop(texts: &[&str]) -> Policy {
    Policy::drop(&paths(texts)).expect("a policy")
}

fn keep(texts: &[&str]) -> Policy {
    Policy::keep(&paths(texts)).expect("a policy")
}

fn follow(policy: &Policy, names: &[&str]) -> Target {
    names.iter().fold(Target(0), |target, name| target.node().map_or(target, |node| policy.nodes[node as usize].find(name.as_bytes())))
}

#[test]
fn drop_and_keep_mirror_each_other() {
    let (drop, keep) = (drop(&["a.b", "c"]), keep(&["a.b", "c"]));
    assert_eq!((follow(&drop, &["a", "b"]), follow(&keep, &["a", "b"])), (Target::DROP, Target::KEEP));
    assert_eq!((follow(&drop, &["a", "x"]), follow(&keep, &["a", "x"])), (Target::KEEP, Target::DROP));
    assert_eq!((follow(&drop, &["c", "x"]), follow(&keep, &["c", "x"])), (Target::DROP, Target::KEEP));
    assert!(follow(&drop, &["a"]).node().is_some());
}

#[test]
fn stars_stand_for_one_name_and_double_stars_for_any_number() {
    let policy = drop(&["a.*.c", "**.z", "x.**.y"]);
    assert_eq!(follow(&policy, &["a", "q", "c"]), Target::DROP);
    assert!(follow(&policy, &["a", "c"]).node().is_some());
    for names in [&["z"][..], &["q", "z"], &["a", "b", "z"], &["x", "y"], &["x", "q", "q", "y"]] {
        assert_eq!(follow(&policy, names), Target::DROP, "{names:?}");
    }
}

#[test]
fn names_of_every_length_are_found() {
    let names: Vec<String> = (1..100).map(|n| (0..n).map(|i| (b'a' + ((i * 7 + n) % 26) as u8) as char).collect()).collect();
    let policy = drop(&names.iter().map(String::as_str).collect::<Vec<_>>());
    for name in &names {
        assert_eq!(follow(&policy, &[name]), Target::DROP);
        assert_eq!(follow(&policy, &[&format!("{name}!")]), Target::KEEP);
        assert_eq!(follow(&policy, &[&format!("{}!", &name[1..])]), Target::KEEP);
    }
}

#[test]
fn the_order_of_paths_does_not_matter_and_what_differs_has_another_fingerprint() {
    assert_eq!(drop(&["a.b", "**.c", "d"]), drop(&["d", "a.b", "**.c"]));
    assert_eq!(drop(&["a", "b"]).fingerprint(), drop(&["b", "a"]).fingerprint());

    let all = [drop(&["a"]), keep(&["a"]), drop(&["a.b"]), drop(&["ab"]), drop(&["a", "b"]), drop(&[]), keep(&[])];
    let different: std::collections::BTreeSet<_> = all.iter().map(Policy::fingerprint).collect();
    assert_eq!(different.len(), all.len());
}

#[test]
fn the_fingerprint_does_not_change_between_releases() {
    assert_eq!(format!("{:016x}", drop(&["items.images.hd", "**.debug"]).fingerprint()), "19922a6a0a2745da");
}

#[test]
fn an_intersection_keeps_what_both_keep() {
    let both = keep(&["a", "b.c", "d.e"]).intersect(&keep(&["a.x", "b", "q"])).expect("a policy");
    assert_eq!(follow(&both, &["a", "x"]), Target::KEEP);
    assert_eq!(follow(&both, &["a", "y"]), Target::DROP);
    assert_eq!(follow(&both, &["b", "c"]), Target::KEEP);
    assert_eq!(follow(&both, &["d"]), Target::DROP);
    assert_eq!(follow(&both, &["q"]), Target::DROP);
    assert!(both.hides());

    let mixed = drop(&["**.debug"]).intersect(&keep(&["a"])).expect("a policy");
    assert_eq!(follow(&mixed, &["a", "x", "debug"]), Target::DROP);
    assert!(follow(&mixed, &["a", "x"]).node().is_some_and(|node| mixed.nodes[node as usize].scalars));
    assert_eq!(follow(&mixed, &["b"]), Target::DROP);
}

#[test]
fn a_policy_that_drops_nothing_knows_it() {
    assert!(drop(&[]).is_noop());
    assert!(!drop(&["a"]).is_noop());
    assert!(!keep(&["a"]).is_noop());
    assert!(!keep(&[]).is_noop());
    assert!(drop(&[]).intersect(&drop(&[])).expect("a policy").is_noop());
    assert_eq!(drop(&[]).intersect(&drop(&["a"])).expect("a policy"), drop(&["a"]));
}

#[test]
fn too_many_states_are_an_error() {
    let text = format!("**.a{}", ".*".repeat(20));
    let error = Policy::drop(&paths(&[&text])).expect_err("too many states");
    assert!(error.to_string().contains("more than 4096 states"), "{error}");
}

#[test]
fn only_policies_whose_other_members_share_a_state_have_a_prefilter() {
    assert!(drop(&["a.b", "c"]).prefilter.is_some());
    assert!(drop(&["**.a", "b.c"]).prefilter.is_some());
    assert!(drop(&["a.*.b"]).prefilter.is_none());
    assert!(drop(&["*"]).prefilter.is_none());
    assert!(drop(&[r#""""#]).prefilter.is_none());
    assert!(drop(&["größe"]).prefilter.is_none());
    assert!(keep(&["a"]).prefilter.is_none());
}

#[test]
fn what_goes_whole_is_told() {
    let (some, others) = (drop(&["a", "b.c", "**.d"]), keep(&["a", "b.c"]));

    let gone = |policy: &Policy| ["a", "a.x", "b", "b.c", "b.c.x", "b.e", "c", "x.y.d.z"].map(|path| policy.drops(path.split('.')));

    assert_eq!(gone(&some), [true, true, false, true, true, false, false, true]);
    assert_eq!(gone(&others), [false, false, false, false, false, true, true, true]);
    assert_eq!(gone(&some.intersect(&others).expect("a policy")), [true, true, false, true, true, true, true, true]);
    assert_eq!(gone(&drop(&[])), [false; 8]);
    assert!(!some.drops([]) && !others.drops([]));
}

//! How often the built-in table agrees with three public collections, class by class.
//!
//! The rules were written looking at one half of the User-Agents, chosen by their hash; what the other half says is the estimate for those
//! that nobody looked at.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use frontgate_test_support::vectors;
use serde::Deserialize;
use serde_yaml::Options;

use super::truth;
use crate::device::Devices;
use crate::words::fnv;

#[derive(Deserialize)]
struct Fixtures {
    test_cases: Vec<Fixture>,
}

#[derive(Deserialize)]
struct Fixture {
    user_agent_string: String,
    family: Option<String>,
    brand: Option<String>,
    model: Option<String>,
}

#[derive(Deserialize)]
struct Crawler {
    instances: Vec<String>,
}

fn yaml<T: for<'de> Deserialize<'de>>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    // The collections are large and ours: no budget.
    let mut options = Options::default();
    options.budget = None;
    serde_yaml::from_str_with_options(&text, options).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// FNV-1a; the half that was looked at is the even one.
fn looked_at(agent: &str) -> bool {
    let hash = fnv::fnv1a(fnv::BASIS, agent.as_bytes());
    (hash >> 32).is_multiple_of(2)
}

#[derive(Default)]
struct Count {
    right: usize,
    all: usize,
}

impl Count {
    fn share(&self) -> f64 {
        100.0 * self.right as f64 / self.all.max(1) as f64
    }
}

struct Cases {
    expected: Vec<(String, &'static str)>,
    left_out: usize,
}

fn cases(devices: &Path, bots: &Path) -> Cases {
    let mut left_out = 0;
    let mut expected: Vec<(String, &'static str)> = Vec::new();

    let crawlers: BTreeMap<String, Vec<String>> = yaml(&bots.join("isbot-crawlers.yml"));
    expected.extend(crawlers.into_values().flatten().map(|agent| (agent, "bot")));
    let text = std::fs::read_to_string(bots.join("crawler-user-agents.json")).expect("the list");
    let crawlers: Vec<Crawler> = serde_json::from_str(&text).expect("a list of crawlers");
    expected.extend(crawlers.into_iter().flat_map(|crawler| crawler.instances).map(|agent| (agent, "bot")));

    let systems: Fixtures = yaml(&devices.join("test_os.yaml"));
    let devices: Fixtures = yaml(&devices.join("test_device.yaml"));
    let of_device = |fixture: &Fixture| {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        truth::class(&text(&fixture.family), &text(&fixture.brand), &text(&fixture.model))
    };
    // Programs run on desktops too: what is no browser is not counted as one.
    let browser = |agent: &str| agent.starts_with("Mozilla/") || agent.starts_with("Opera/");
    let of_system = |fixture: &Fixture| {
        let class = truth::class_of_system(fixture.family.as_deref().unwrap_or_default());
        class.filter(|class| *class != "desktop" || browser(&fixture.user_agent_string))
    };
    let classes = devices.test_cases.iter().map(|fixture| (fixture, of_device(fixture)));
    for (fixture, class) in classes.chain(systems.test_cases.iter().map(|fixture| (fixture, of_system(fixture)))) {
        match class {
            Some(class) => expected.push((fixture.user_agent_string.clone(), class)),
            None => left_out += 1,
        }
    }

    // Browsers that people use: those that name a desktop's system and nothing else are no bots and no phones.
    let browsers: BTreeMap<String, Vec<String>> = yaml(&bots.join("isbot-browsers.yml"));
    for agent in browsers.into_iter().filter(|(name, _)| !name.starts_with("ZZZ")).flat_map(|(_, agents)| agents) {
        let systems = ["(Windows NT", "(Macintosh; ", "(X11; ", "; Windows NT"];
        let others = ["SmartTV", "SMART-TV", "Xbox", "CrKey", "Android", "Tizen"];
        if systems.iter().any(|system| agent.contains(system)) && !others.iter().any(|other| agent.contains(other)) {
            expected.push((agent, "desktop"));
        } else {
            left_out += 1;
        }
    }

    // The lists overlap, and a program that calls itself a crawler in one of them is one; where they contradict each other elsewhere, neither counts.
    let mut known: HashMap<String, HashSet<&'static str>> = HashMap::new();
    for (agent, class) in &expected {
        known.entry(agent.clone()).or_default().insert(class);
    }
    expected.retain(|(agent, _)| known.get(agent).is_some_and(|classes| classes.len() == 1));
    expected.sort();
    expected.dedup();
    Cases { expected, left_out }
}

#[test]
#[allow(clippy::print_stdout)]
fn the_builtin_table_agrees_with_the_collections_in_every_class() {
    let (Some(devices), Some(bots)) = (vectors("uap-core"), vectors("bots")) else { return };
    let cases = cases(&devices, &bots);
    let devices = Devices::builtin();

    let mut counts: BTreeMap<&str, [Count; 2]> = BTreeMap::new();
    let mut wrong = BTreeMap::new();
    for (agent, class) in &cases.expected {
        let told = &*devices.classes()[devices.classify_parts(agent.as_bytes(), None, None)];
        let count = &mut counts.entry(class).or_default()[usize::from(!looked_at(agent))];
        count.all += 1;
        count.right += usize::from(told == *class);
        if told != *class && looked_at(agent) {
            wrong.entry((*class, told)).or_insert_with(Vec::new).push(agent);
        }
    }

    println!("{:10} {:>12} {:>22} {:>22}", "class", "all", "half looked at", "half not looked at");
    let mut failed = Vec::new();
    for (class, [seen, unseen]) in &counts {
        let both = Count { right: seen.right + unseen.right, all: seen.all + unseen.all };
        println!(
            "{class:10} {:>5} {:5.1} % {:>13} {:5.1} % {:>13} {:5.1} %",
            both.all,
            both.share(),
            seen.all,
            seen.share(),
            unseen.all,
            unseen.share()
        );
        if both.share() < 95.0 {
            failed.push(*class);
        }
    }
    println!("left out, because the fixture does not settle the class: {}", cases.left_out);
    if std::env::var_os("FRONTGATE_DEVICE_MISSES").is_some() {
        for ((class, told), agents) in wrong {
            println!("\n{class} taken for {told}: {}", agents.len());
            agents.iter().for_each(|agent| println!("  {agent}"));
        }
    }
    assert!(failed.is_empty(), "below 95 %: {failed:?}");
}

//! Circles in the order of services: each would wait for the other for ever.

use std::collections::{BTreeMap, VecDeque};

use crate::target::Service;

/// The circles in `depends_on`, each as the services along it. Time and memory are in proportion to the services and their
/// dependencies.
pub fn circles(services: &BTreeMap<String, Service>) -> Vec<Vec<&str>> {
    let tied = tied(services);
    let mut walk_of: BTreeMap<&str, usize> = BTreeMap::new();
    let mut circles = Vec::new();
    for (walk, start) in tied.keys().enumerate() {
        // Every service that is left waits for one that is left: follow the first of them until the walk meets a walk.
        let mut path = Vec::new();
        let mut at = *start;
        while !walk_of.contains_key(at) {
            walk_of.insert(at, walk);
            path.push(at);
            let next = services[at].depends_on.keys().find_map(|next| tied.get_key_value(next.as_str()));
            let Some((next, _)) = next else { break };
            at = next;
        }
        if walk_of.get(at) == Some(&walk)
            && let Some(begin) = path.iter().position(|service| *service == at)
            && services[path[path.len() - 1]].depends_on.contains_key(at)
        {
            circles.push(path.split_off(begin));
        }
    }
    circles
}

/// Services that never get their turn: they stand in a circle or wait for one.
fn tied(services: &BTreeMap<String, Service>) -> BTreeMap<&str, usize> {
    let mut waits: BTreeMap<&str, usize> = BTreeMap::new();
    let mut followers: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, service) in services {
        let known = service.depends_on.keys().filter(|other| services.contains_key(*other));
        let mut count = 0;
        for other in known {
            followers.entry(other).or_default().push(name);
            count += 1;
        }
        waits.insert(name, count);
    }
    let mut free: VecDeque<&str> = waits.iter().filter(|(_, count)| **count == 0).map(|(name, _)| *name).collect();
    while let Some(name) = free.pop_front() {
        waits.remove(name);
        for follower in followers.remove(name).unwrap_or_default() {
            if let Some(count) = waits.get_mut(follower) {
                *count -= 1;
                if *count == 0 {
                    free.push_back(follower);
                }
            }
        }
    }
    waits
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Options;
    use crate::target::{Dependency, NetworkChoice};

    fn services(order: &[(&str, &[&str])]) -> BTreeMap<String, Service> {
        let service = |name: &str, depends_on: &[&str]| Service {
            name: name.into(),
            id: 1,
            image_id: 1,
            image: "a".parse().unwrap(),
            environment: BTreeMap::new(),
            labels: BTreeMap::new(),
            running: true,
            contract: None,
            depends_on: depends_on.iter().map(|name| ((*name).to_owned(), Dependency::default())).collect(),
            network_mode: NetworkChoice::None,
            networks: BTreeMap::new(),
            ports: Default::default(),
            expose: Default::default(),
            mounts: Default::default(),
            hostname: None,
            options: Options::default(),
            unsupported: Vec::new(),
        };
        order.iter().map(|(name, depends_on)| ((*name).to_owned(), service(name, depends_on))).collect()
    }

    #[test]
    fn circles_are_found_and_chains_are_not() {
        type Case<'a> = (&'a [(&'a str, &'a [&'a str])], Vec<Vec<&'a str>>);
        let cases: Vec<Case<'_>> = vec![
            (&[], vec![]),
            (&[("a", &["b"]), ("b", &["c"]), ("c", &[])], vec![]),
            (&[("a", &["a"])], vec![vec!["a"]]),
            (&[("a", &["b"]), ("b", &["a"])], vec![vec!["a", "b"]]),
            (&[("a", &["b"]), ("b", &["c"]), ("c", &["b"])], vec![vec!["b", "c"]]),
            (&[("a", &["b"]), ("b", &["a"]), ("c", &["d"]), ("d", &["c"]), ("e", &["a"])], vec![vec!["a", "b"], vec!["c", "d"]]),
            (&[("a", &["gone"])], vec![]),
        ];
        for (order, wanted) in cases {
            assert_eq!(circles(&services(order)), wanted, "{order:?}");
        }
    }

    #[test]
    fn long_chains_and_circles_are_cheap() {
        let names: Vec<String> = (0..5000).map(|i| format!("s{i}")).collect();
        let mut order: Vec<(&str, Vec<&str>)> =
            names.iter().enumerate().map(|(i, name)| (name.as_str(), vec![names[(i + 1) % 5000].as_str()])).collect();
        let circle = |order: &[(&str, Vec<&str>)]| {
            let order: Vec<(&str, &[&str])> = order.iter().map(|(name, depends_on)| (*name, depends_on.as_slice())).collect();
            circles(&services(&order)).len()
        };
        assert_eq!(circle(&order), 1);
        order[4999].1.clear();
        assert_eq!(circle(&order), 0);
    }
}

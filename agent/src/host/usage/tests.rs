//! Machines with containers, in both versions of control groups, and what is no such machine.

use super::super::info::machine::Machine;
use super::*;

fn id(letter: char) -> String {
    letter.to_string().repeat(64)
}

fn watched(id: &str) -> Watched {
    Watched { id: id.to_owned(), own_network: true }
}

const NET: &str = "Inter-|   Receive                |  Transmit\n face |bytes    packets errs drop fifo frame compressed multicast|bytes\n\
    lo: 7 1 0 0 0 0 0 0 7 1 0 0 0 0 0 0\n  eth0: 1000 9 0 0 0 0 0 0 2000 5 0 0 0 0 0 0\n\
    docker0: 50 1 0 0 0 0 0 0 60 1 0 0 0 0 0 0\n veth12: 5 1 0 0 0 0 0 0 6 1 0 0 0 0 0 0\n";

#[test]
fn containers_under_version_2() {
    let machine = Machine::raspberry_pi();
    let folder = format!("sys/fs/cgroup/system.slice/docker-{}.scope", id('a'));
    machine
        .file("sys/fs/cgroup/cgroup.controllers", "cpu io memory pids\n")
        .file("sys/fs/cgroup/system.slice/ssh.service/cpu.stat", "usage_usec 1\n")
        .file(&format!("{folder}/cpu.stat"), "usage_usec 1500000\nuser_usec 9\n")
        .file(&format!("{folder}/memory.current"), "10485760\n")
        .file(&format!("{folder}/memory.stat"), "anon 5\ninactive_file 485760\n")
        .file(&format!("{folder}/memory.max"), "max\n")
        .file(&format!("{folder}/io.stat"), "8:0 rbytes=4096 wbytes=8192 rios=1\n8:16 rbytes=4 wbytes=2\n")
        .file(&format!("{folder}/cgroup.procs"), "4711\n4712\n")
        .file("proc/4711/net/dev", NET);
    let mut counters = Counters::new(machine.root());
    let usage = counters.look(&[watched(&id('a')), watched(&id('b'))]).containers;
    let expected = ContainerUsage {
        cpu_us: 1_500_000,
        memory_bytes: 10_000_000,
        memory_limit_bytes: None,
        network_in_bytes: 1055,
        network_out_bytes: 2066,
        block_read_bytes: 4100,
        block_write_bytes: 8194,
    };
    assert_eq!(usage, BTreeMap::from([(id('a'), expected)]));
    machine.file(&format!("{folder}/memory.max"), "20000000\n");
    let hosts_network = Watched { id: id('a'), own_network: false };
    let usage = counters.look(&[hosts_network]).containers[&id('a')];
    assert_eq!((usage.memory_limit_bytes, usage.network_in_bytes, usage.network_out_bytes), (Some(20_000_000), 0, 0));
}

#[test]
fn containers_under_version_1_wherever_their_engine_puts_them() {
    let machine = Machine::pc();
    let group = |hierarchy: &str, folder: &str, file: &str| format!("sys/fs/cgroup/{hierarchy}/{folder}/{file}");
    for (folder, letter) in [("docker", 'a'), ("docker/outer/docker", 'b')] {
        let folder = format!("{folder}/{}", id(letter));
        machine
            .file(&group("cpuacct", &folder, "cpuacct.usage"), "2000000000\n")
            .file(&group("cpuacct", &folder, "cgroup.procs"), "")
            .file(&group("memory", &folder, "memory.usage_in_bytes"), "3000\n")
            .file(&group("memory", &folder, "memory.stat"), "inactive_file 7\ntotal_inactive_file 1000\n")
            .file(&group("memory", &folder, "memory.limit_in_bytes"), "9223372036854771712\n")
            .file(
                &group("blkio", &folder, "blkio.throttle.io_service_bytes"),
                "8:0 Read 10\n8:0 Write 20\n8:16 Read 1\nTotal 31\n",
            );
    }
    let mut counters = Counters::new(machine.root());
    let usage = counters.look(&[watched(&id('a')), watched(&id('b'))]).containers;
    let expected = ContainerUsage {
        cpu_us: 2_000_000,
        memory_bytes: 2000,
        block_read_bytes: 11,
        block_write_bytes: 20,
        ..ContainerUsage::default()
    };
    assert_eq!(usage, BTreeMap::from([(id('a'), expected), (id('b'), expected)]));
}

#[test]
fn one_that_goes_is_searched_again_and_one_that_is_not_there_once() {
    let machine = Machine::bare();
    let file = |folder: &str| format!("sys/fs/cgroup/{folder}/{}/cpu.stat", id('a'));
    machine.file("proc/stat", "").file("sys/fs/cgroup/cgroup.controllers", "").file(&file("one"), "usage_usec 5\n");
    let mut counters = Counters::new(machine.root());
    let mut look = |ids: &[&str]| counters.look(&ids.iter().map(|id| watched(id)).collect::<Vec<_>>()).containers;
    assert_eq!(look(&[&id('a')])[&id('a')].cpu_us, 5);
    std::fs::remove_dir_all(machine.root().join("sys/fs/cgroup/one")).unwrap();
    machine.file(&file("two"), "usage_usec 6\n");
    assert!(look(&[&id('a')]).is_empty());
    assert_eq!(look(&[&id('a')])[&id('a')].cpu_us, 6);
    assert!(look(&[&id('c'), "", "a"]).is_empty(), "a short id is part of anything");
}

#[test]
fn the_machine() {
    let machine = Machine::raspberry_pi();
    machine.file("proc/loadavg", "0.52 0.58 0.59 1/467 12345\n").file("proc/1/net/dev", NET);
    let usage = Counters::new(machine.root()).look(&[]).machine;
    let expected = MachineUsage {
        cpu_all_ticks: 22_775,
        cpu_busy_ticks: 6_005,
        processors: 1,
        memory_bytes: 542 * 1024 * 1024,
        memory_total_bytes: 3793 * 1024 * 1024,
        load_milli: 520,
        temperature_celsius: Some(49),
        network_in_bytes: 1000,
        network_out_bytes: 2000,
    };
    assert_eq!(usage, expected);
}

#[test]
fn rubbish_is_survived() {
    for content in ["", "\0\0", "usage_usec\nusage_usec x", "-1", &"9".repeat(100_000), "eth0: 1", "eth0:", "NaN inf"] {
        let machine = Machine::raspberry_pi();
        machine.file("sys/fs/cgroup/cgroup.controllers", "");
        for file in ["cpu.stat", "memory.current", "memory.stat", "memory.max", "io.stat", "cgroup.procs"] {
            machine.file(&format!("sys/fs/cgroup/x/{}/{file}", id('a')), content);
        }
        for file in ["proc/loadavg", "proc/1/net/dev", "proc/stat", "proc/meminfo"] {
            machine.file(file, content);
        }
        let usage = Counters::new(machine.root()).look(&[watched(&id('a'))]);
        assert!(usage.containers.is_empty(), "{content}: {usage:?}");
    }
}

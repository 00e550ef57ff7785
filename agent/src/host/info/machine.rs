//! Machines for tests: `/proc` and `/sys` as real ones show them, in a folder.

use std::fs;
use std::path::Path;

pub(in crate::host) struct Machine(tempfile::TempDir);

impl Machine {
    /// One that shows nothing.
    pub fn bare() -> Machine {
        Machine(tempfile::tempdir().unwrap())
    }

    /// A Raspberry Pi 4 with balenaOS.
    pub fn raspberry_pi() -> Machine {
        let machine = Machine::bare();
        machine
            .file("proc/stat", "cpu  4705 150 1120 16250 520 0 30 0 0 0\ncpu0 1176 37 280 4062 130 0 30 0 0 0\nbtime 1767225600\n")
            .file(
                "proc/meminfo",
                "MemTotal:        3884276 kB\nMemFree:         2412540 kB\nMemAvailable:    3310988 kB\nBuffers:           61440 kB\n\
                 Cached:           816128 kB\nSwapCached:            0 kB\nSReclaimable:      38912 kB\n",
            )
            .file(
                "proc/self/mounts",
                "/dev/mmcblk0p2 / ext4 ro,relatime 0 0\ndevtmpfs /dev devtmpfs rw 0 0\n/dev/mmcblk0p1 /mnt/boot vfat rw 0 0\n\
                 /dev/mmcblk0p5 /mnt/state ext4 rw 0 0\n/dev/mmcblk0p6 /mnt/data ext4 rw 0 0\n\
                 /dev/mmcblk0p6 /var/lib/docker ext4 rw 0 0\n",
            )
            .file("sys/firmware/devicetree/base/serial-number", "10000000ABCDEF01\0")
            .file("sys/class/thermal/thermal_zone0/type", "cpu-thermal\n")
            .file("sys/class/thermal/thermal_zone0/temp", "48686\n")
            .file("sys/class/hwmon/hwmon1/name", "rpi_volt\n")
            .file("sys/class/hwmon/hwmon1/in0_lcrit_alarm", "0\n")
            .file("mnt/data/a", "")
            .file("dev/kmsg", "6,0,0,-;Booting Linux on physical CPU 0x0000000000 [0x410fd083]\n");
        std::os::unix::fs::symlink("/sys/firmware/devicetree/base", machine.root().join("proc/device-tree")).unwrap();
        machine
    }

    /// A generic PC.
    pub fn pc() -> Machine {
        let machine = Machine::bare();
        machine
            .file("proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\nbtime 1767225600\n")
            .file("proc/meminfo", "MemTotal: 16384000 kB\nMemFree: 8192000 kB\nBuffers: 0 kB\nCached: 4096000 kB\n")
            .file("proc/self/mounts", "/dev/nvme0n1p2 / ext4 rw 0 0\n/dev/nvme0n1p1 /boot/efi vfat rw 0 0\n")
            .file("sys/class/dmi/id/board_serial", "/7XYZ123/CNABC0012345/\n")
            .file("sys/class/thermal/thermal_zone0/type", "acpitz\n")
            .file("sys/class/thermal/thermal_zone0/temp", "27800\n")
            .file("sys/class/thermal/thermal_zone1/type", "x86_pkg_temp\n")
            .file("sys/class/thermal/thermal_zone1/temp", "54000\n");
        machine
    }

    pub fn file(&self, path: &str, text: &str) -> &Machine {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    pub fn root(&self) -> &Path {
        self.0.path()
    }
}

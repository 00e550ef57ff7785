//! What a container has used: the kernel's counters, or the engine's word for them.

/// What a container has used since it was started. Counters begin at zero again when it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ContainerUsage {
    /// Time on processors, µs.
    pub cpu_us: u64,
    /// Memory in use now, without caches that are given back when needed, bytes.
    pub memory_bytes: u64,
    /// The most it may use, bytes; `None` without a limit.
    pub memory_limit_bytes: Option<u64>,
    /// Bytes received.
    pub network_in_bytes: u64,
    /// Bytes sent.
    pub network_out_bytes: u64,
    /// Bytes read from storage.
    pub block_read_bytes: u64,
    /// Bytes written to storage.
    pub block_write_bytes: u64,
}

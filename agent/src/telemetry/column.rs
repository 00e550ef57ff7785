//! What is kept of a container and of the machine, column by column.

/// How many columns a row has.
pub const COLUMNS: usize = 11;

/// One row: what was measured in a length of time. The first column says how many looks it is made of; none is no row.
pub type Row = [u64; COLUMNS];

/// What several looks come to in one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fold {
    /// Their mean.
    Mean,
    /// The largest.
    Peak,
    /// All of them.
    Sum,
}

/// What a number in a column is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of something.
    Count,
    /// Ten-thousandths of a percent. A container's are of one processor, the machine's of all.
    Percent,
    /// Bytes there were.
    Bytes,
    /// Bytes that passed.
    Passed,
    /// Thousandths.
    Milli,
    /// Kelvin above −273 °C; 0 where it is not known.
    Kelvin,
    /// See [`HEALTH`].
    Health,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// What it is called in answers.
    pub name: &'static str,
    /// What several looks come to.
    pub fold: Fold,
    /// What its numbers are.
    pub unit: Unit,
}

/// The columns of one kind of subject.
pub type Columns = [Column; COLUMNS];

const fn column(name: &'static str, fold: Fold, unit: Unit) -> Column {
    Column { name, fold, unit }
}

/// The columns that every kind of subject has, and then its own.
const fn columns([seventh, eighth, ninth, tenth]: [Column; 4]) -> Columns {
    [
        column("looks", Fold::Sum, Unit::Count),
        column("cpu_percent", Fold::Mean, Unit::Percent),
        column("cpu_percent_max", Fold::Peak, Unit::Percent),
        column("memory_bytes", Fold::Mean, Unit::Bytes),
        column("memory_bytes_max", Fold::Peak, Unit::Bytes),
        column("network_in_bytes_per_s", Fold::Sum, Unit::Passed),
        column("network_out_bytes_per_s", Fold::Sum, Unit::Passed),
        seventh,
        eighth,
        ninth,
        tenth,
    ]
}

/// Words of the health column, from best to worst: of several the worst stays.
pub const HEALTH: [&str; 4] = ["none", "healthy", "starting", "unhealthy"];

/// Place of the number of looks, in every row.
pub const LOOKS: usize = 0;
/// Place of processor time.
pub const CPU: usize = 1;
/// Place of memory.
pub const MEMORY: usize = 3;
/// Places of what came and went over the network.
pub const NETWORK: [usize; 2] = [5, 6];
/// Places of what was read from storage and written to it; a container's only.
pub const BLOCK: [usize; 2] = [7, 8];
/// Place of the number of restarts; a container's only.
#[cfg(test)]
pub const RESTARTS: usize = 9;

/// Of a container.
pub static CONTAINER: Columns = columns([
    column("block_read_bytes_per_s", Fold::Sum, Unit::Passed),
    column("block_write_bytes_per_s", Fold::Sum, Unit::Passed),
    column("restarts", Fold::Sum, Unit::Count),
    column("health", Fold::Peak, Unit::Health),
]);

/// Of the machine.
pub static MACHINE: Columns = columns([
    column("disk_bytes", Fold::Mean, Unit::Bytes),
    column("load", Fold::Mean, Unit::Milli),
    column("temperature_celsius", Fold::Mean, Unit::Kelvin),
    column("temperature_celsius_max", Fold::Peak, Unit::Kelvin),
]);

/// Several rows on their way to being one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gathered(Row);

impl Gathered {
    /// Takes a row in.
    pub fn add(&mut self, row: &Row, columns: &Columns) {
        for (place, column) in columns.iter().enumerate() {
            let (sum, value) = (&mut self.0[place], row[place]);
            *sum = match column.fold {
                Fold::Mean => sum.saturating_add(value.saturating_mul(row[LOOKS])),
                Fold::Sum => sum.saturating_add(value),
                Fold::Peak => (*sum).max(value),
            };
        }
    }

    /// What they come to.
    pub fn row(&self, columns: &Columns) -> Row {
        let looks = self.0[LOOKS].max(1);
        let value = |place: usize| match columns[place].fold {
            Fold::Mean => (self.0[place].saturating_add(looks / 2)) / looks,
            Fold::Sum | Fold::Peak => self.0[place],
        };
        std::array::from_fn(value)
    }

    /// Whether there was nothing.
    pub fn is_empty(&self) -> bool {
        self.0[LOOKS] == 0
    }
}

//! The local API: HTTP/1 on a unix socket and over TCP, one file per version of the paths, one table of routes.
//!
//! Handlers read the pictures that the loops publish and submit requests to them; what is done to apps and to the host the
//! loop does. Three act themselves: cleaning up volumes and passing their content (`app_details`, `transfer`), and work on the
//! database file (`upkeep`). Whoever can open the socket may act, unless it is a browser with another site's page: besides
//! that the file's mode is the only check. Over TCP a key says who asks and what they reach. Every request is bounded: size,
//! time to send, time to answer, and how many clients there may be at once.
//!
//! | file | what |
//! |---|---|
//! | `listener` | where the socket is and who may open it |
//! | `tcp` | where it listens over TCP, and when |
//! | `serve`, `connections`, `stall` | connections and their limits |
//! | `access`, `caller` | who asks, and what they may reach |
//! | `table`, `route`, `body`, `answer` | from a request to a handler and back |
//! | `v1`, `v2`, `v3` | the handlers (protocol §17; `/v3` is ours) |
//! | `host`, `device` | handlers of the host and the device: restart, shutdown, name, proxy; blink, tags, VPN |
//! | `actions`, `app_details` | handlers of one app: restart, purge, stop, start; what it is made of |
//! | `local` | the device's own target, for local mode |
//! | `keys` | handlers of the API's own keys |
//! | `agent` | the agent's own version |
//! | `diagnose` | the checks of `holdfast diagnose` |
//! | `upkeep` | those below `/v3/db`: work on the database file |
//! | `release_state` | services and their states in the protocol's words, from the loop's picture |
//! | `volumes`, `transfer` | volumes of apps: what there are, and their content, which passes through |
//! | `stats`, `metrics` | what the machine and the containers use, as JSON and for Prometheus |
//! | `events`, `logs`, `journal`, `streams` | answers that go on for as long as somebody reads |
//! | `openapi` | the document that describes `/v3` |
//! | `reading` | how the command line reads an answer back |
//! | `browsers` | what a browser sends for another site's page |
//! | `page` | the page at `/` |
//! | `health` | how the agent and its database are |
//! | `status`, `database`, `planned`, `locks`, `moment`, `sentence` | what `/v3` answers, as types that the command line reads back |

mod access;
mod actions;
mod agent;
mod answer;
mod app_details;
mod body;
mod browsers;
mod caller;
mod connections;
mod database;
mod device;
mod diagnose;
mod error;
mod events;
mod health;
mod host;
mod journal;
mod keys;
mod listener;
mod local;
mod locks;
mod logs;
mod metrics;
mod moment;
mod openapi;
mod page;
mod planned;
mod reading;
mod release_state;
mod route;
mod sentence;
mod serve;
mod stall;
mod state;
mod stats;
mod status;
mod streams;
mod table;
mod tcp;
#[cfg(test)]
mod tests;
mod transfer;
mod upkeep;
mod v1;
mod v2;
mod v3;
mod volumes;

pub use answer::Failure;
use body::Fields;
pub use database::{DatabaseAnswer, DayRow, History, Pages, SnapshotRow, WritesAnswer};
pub use error::ApiError;
pub use events::{EventList, EventRow};
pub use keys::{KeyList, KeyRow};
pub use listener::{Socket, bind};
pub use local::LocalTarget;
pub use locks::{HeldLock, LockList};
pub use logs::LogRow;
pub use moment::{Ago, Ahead, rfc3339};
pub use planned::{PlanAnswer, PlannedStep};
pub use reading::FromAnswer;
pub(crate) use sentence::phase_sentence;
pub use serve::{Limits, serve};
pub use state::{ApiState, Identity};
pub use status::{AppRow, BackupRow, Cloud, Database, DeviceRow, DoingRow, EngineRow, FaultRow, Health, OffenceRow, PhaseRow};
pub use status::{ProvisioningRow, RefusedRow, ServiceRow, Status, UnsupportedRow, WaitRow};
pub use streams::Streams;
pub use tcp::{Listening, TcpPlaces, serve_tcp};
pub use transfer::{Copied, Restored, VOLUME_HEADER};
pub use volumes::{VolumeList, VolumeRow, VolumeUse};

//! Provisioning: how a flashed device becomes one of the cloud's (protocol §9).
//!
//! An image carries an address and a provisioning key. The device makes its own identity (uuid and device key), registers
//! it with the provisioning key, notes what the cloud says, and drops the provisioning key. The order is what makes it
//! safe to be cut off anywhere: the identity is durable *before* it is sent, so whatever the cloud has heard of is what
//! the next start sends again. A registration whose answer was lost is then refused as "taken" (409), and the exchange of
//! keys finds the device that was registered.
//!
//! [`Need::of`] says from config.json what is to be done, [`course`] decides step by step without I/O, [`Registrar`] is the
//! cloud's side, [`ledger`] config.json's, and the [`Provisioner`] walks the course until it is through.

mod course;
mod identity;
mod ledger;
mod need;
mod pin;
mod provisioner;
mod registrar;

pub use identity::establish;
pub use need::Need;
pub use pin::{PIN_DEVICE, Pin};
pub use provisioner::{Description, Ended, ProvisionLinks, Provisioner};
pub use registrar::{HttpRegistrar, Installed, KeyOf, Registered, Registrar};

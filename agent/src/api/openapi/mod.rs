//! `/v3/openapi.json`: the document that describes `/v3` (OpenAPI 3.1).
//!
//! It is made from the table of routes and from the very types that are answered — their schemas are derived, their comments
//! become descriptions — but in a test, not on the device: what derives schemas would be larger than all that it says. The
//! test `the_document_is_up_to_date` compares the file beside this one with what the types say now, and with
//! `HOLDFAST_WRITE_OPENAPI=1` it writes it. The build packs the file; it is unpacked for whoever asks.
//!
//! A new route of `/v3` needs a line in `described`, and `#[cfg_attr(test, derive(schemars::JsonSchema))]` on what it
//! answers, or a schema in `by_hand`; a test names the routes that have none.

#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod described;
#[cfg(test)]
mod document;

use std::io::Read;

use flate2::read::DeflateDecoder;
use hyper::StatusCode;

use super::answer::{Outcome, Refusal, json_text};
use super::route::{Access, Route};

pub(super) static ROUTES: [Route; 1] = [Route::get("/v3/openapi.json", Access::Open, |_| Box::pin(async { document() }))];

static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/openapi.json.deflate"));

fn document() -> Outcome {
    let mut text = Vec::new();
    match DeflateDecoder::new(PACKED).read_to_end(&mut text) {
        Ok(_) => Ok(json_text(text)),
        Err(cause) => {
            let message = format!("the document in this binary is damaged, install the agent anew: {cause}");
            Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message))
        }
    }
}

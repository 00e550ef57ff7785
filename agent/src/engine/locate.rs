//! Where the engine listens: the address given, or the first default one that answers.

use super::address::{Address, DEFAULT_ADDRESSES};
use super::docker::DockerEngine;
use super::{Engine, EngineError, Result};

/// Finds the engine's address: the one given if any (it is checked for its form only, since the engine may be away right
/// now), else the first of [`DEFAULT_ADDRESSES`] that answers. The error names every address that was tried.
pub async fn locate(given: Option<&str>) -> Result<String> {
    if let Some(given) = given {
        return Ok(given.parse::<Address>()?.to_string());
    }
    first_that_answers(&DEFAULT_ADDRESSES).await
}

async fn first_that_answers(addresses: &[&str]) -> Result<String> {
    let mut causes = Vec::new();
    for address in addresses {
        match DockerEngine::connect(address, None)?.describe().await {
            Ok(info) => return Ok(info.address),
            Err(EngineError::Unreachable { cause, .. }) => causes.push(format!("{address}: {cause}")),
            Err(error) => causes.push(error.to_string()),
        }
    }
    Err(EngineError::Unreachable { address: addresses.join(", "), cause: causes.join("; ") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn silence_names_every_address_tried() {
        let error = first_that_answers(&["unix:///nowhere/a.sock", "unix:///nowhere/b.sock"]).await.unwrap_err();
        assert!(error.is_unreachable());
        let text = error.to_string();
        assert!(text.contains("/nowhere/a.sock") && text.contains("/nowhere/b.sock"), "{text}");
    }
}

//! Which engine the demo runs on.

use std::str::FromStr;

use anyhow::{Result, bail};

use super::docker::{Docker, sockets};
use crate::sandbox::registry::{EmbeddedRegistry, Recipe, build};

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EngineChoice {
    /// Docker if one answers and can be used, else the simulated one.
    #[default]
    Auto,
    /// Docker or nothing.
    Docker,
    /// The simulated one.
    Sim,
}

impl FromStr for EngineChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(EngineChoice::Auto),
            "docker" => Ok(EngineChoice::Docker),
            "sim" => Ok(EngineChoice::Sim),
            other => Err(format!("\"{other}\" is not an engine: expected auto, docker or sim")),
        }
    }
}

/// What it came to.
#[derive(Debug)]
pub struct Chosen {
    /// The real engine; `None` is the simulated one.
    pub docker: Option<Docker>,
    /// Why not another one, for people.
    pub why: String,
}

impl Chosen {
    fn simulated(why: impl Into<String>) -> Chosen {
        Chosen { docker: None, why: why.into() }
    }

    /// Its name for people.
    pub fn name(&self) -> String {
        match &self.docker {
            Some(docker) => format!("{} at {}", docker.name, docker.address()),
            None => "the built-in simulated engine".into(),
        }
    }
}

/// Finds the engine.
///
/// # Errors
/// When the one that was asked for cannot be used, or a real one belongs to somebody else.
pub async fn choose(choice: EngineChoice, registry: &EmbeddedRegistry) -> Result<Chosen> {
    if choice == EngineChoice::Sim {
        return Ok(Chosen::simulated("as asked for"));
    }
    let docker = match find().await {
        Ok(docker) => docker,
        Err(e) if choice == EngineChoice::Docker => return Err(e.context("no Docker engine can be used; try --engine sim")),
        Err(e) => return Ok(Chosen::simulated(format!("no Docker engine can be used: {e:#}"))),
    };
    let occupied = docker.occupied().await?;
    if !occupied.is_empty() {
        bail!(
            "{} already has objects of an agent or of the sample fleet, which the demo will not touch: {}. Remove them if nobody \
             needs them (an earlier demo that was killed leaves such), or try --engine sim",
            docker.name,
            listed(&occupied)
        );
    }
    let probe = registry.add("v2/holdfast-demo-probe", "latest", &build(&Recipe::program(docker.machine, "probe", "1")));
    match docker.can_reach(&probe).await {
        Ok(()) => Ok(Chosen { docker: Some(docker), why: "it answers".into() }),
        Err(e) => {
            let why = format!(
                "{} cannot reach the embedded registry at {} ({e:#}); it probably lives in another network namespace or machine",
                docker.name,
                registry.address()
            );
            if choice == EngineChoice::Docker { bail!("{why}. Try --engine sim") } else { Ok(Chosen::simulated(why)) }
        }
    }
}

async fn find() -> Result<Docker> {
    let mut errors = Vec::new();
    for socket in sockets()? {
        match Docker::connect(&socket).await {
            Ok(docker) => return Ok(docker),
            Err(e) => errors.push(format!("{e:#}")),
        }
    }
    bail!("{}", errors.join("; "))
}

fn listed(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let more = names.len().saturating_sub(SHOWN);
    let mut text = names.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices_are_read() {
        assert_eq!("auto".parse(), Ok(EngineChoice::Auto));
        assert!("podman".parse::<EngineChoice>().unwrap_err().contains("expected auto, docker or sim"));
    }

    #[test]
    fn long_lists_are_cut() {
        let names: Vec<String> = (0..7).map(|n| format!("c{n}")).collect();
        assert_eq!(listed(&names), "c0, c1, c2, c3, c4 and 2 more");
    }
}

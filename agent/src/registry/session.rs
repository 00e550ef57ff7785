//! Calls to one registry about one image: the token dance, redirections, limits.

use std::time::Duration;

use holdfast_plan::target::ImageRef;
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;

use super::RegistryError;
use super::address::Repository;
use super::challenge::Challenge;
use super::clients::Clients;
use crate::http::RegistryAuth;
use crate::http::{Limits, chain, read_text, shorten};

/// Blobs lie with storage providers; more hops than this lead in a circle.
const MAX_REDIRECTIONS: u32 = 5;
/// A token answer beyond this is none, bytes.
const TOKEN_LIMIT_BYTES: usize = 256 * 1024;
/// How much of an error's body is looked at, bytes.
const ERROR_LIMIT_BYTES: usize = 16 * 1024;
/// The longest silence within a body.
const IDLE: Duration = Duration::from_secs(10);

/// Calls about one image. What was learnt from a challenge serves the calls after it.
pub(super) struct Session<'a> {
    client: &'a reqwest::Client,
    repository: Repository,
    auth: Option<&'a RegistryAuth>,
    shown: Option<Shown<'a>>,
}

/// What authorises a call.
enum Shown<'a> {
    /// User and password.
    Basic(&'a RegistryAuth),
    /// A token.
    Bearer(HeaderValue),
}

impl Shown<'_> {
    fn put_on(&self, request: RequestBuilder) -> RequestBuilder {
        match self {
            Shown::Basic(auth) => request.basic_auth(&auth.username, Some(&auth.password)),
            Shown::Bearer(token) => request.header(AUTHORIZATION, token.clone()),
        }
    }
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl<'a> Session<'a> {
    /// Begins without a connection. Credentials for another host than the image's are left out.
    pub fn new(clients: &'a Clients, image: &ImageRef, auth: Option<&'a RegistryAuth>) -> Result<Session<'a>, RegistryError> {
        let repository = Repository::of(image)?;
        let is_for =
            |auth: &&RegistryAuth| image.host.as_deref().is_some_and(|host| auth.server_address.eq_ignore_ascii_case(host));
        let client = if repository.is_here() { &clients.here } else { &clients.away };
        Ok(Session { client, repository, auth: auth.filter(is_for), shown: None })
    }

    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Fetches a text from the registry, past one challenge.
    pub async fn get(&mut self, url: &Url, accept: &'static str, limit_bytes: usize) -> Result<String, RegistryError> {
        let mut response = self.follow(url, accept).await?;
        if response.status() == StatusCode::UNAUTHORIZED && self.shown.is_none() && self.repository.is_origin_of(response.url()) {
            self.meet(&response, url).await?;
            response = self.follow(url, accept).await?;
        }
        text(response, &format!("GET {url}"), limit_bytes).await
    }

    /// Sends a request and follows where it leads. What authorises goes to the registry itself only.
    async fn follow(&self, url: &Url, accept: &'static str) -> Result<Response, RegistryError> {
        let call = format!("GET {url}");
        let mut at = url.clone();
        for _ in 0..=MAX_REDIRECTIONS {
            let mut request = self.client.get(at.clone()).header(ACCEPT, accept);
            if let Some(shown) = self.shown.as_ref().filter(|_| self.repository.is_origin_of(&at)) {
                request = shown.put_on(request);
            }
            let response = send(request, &call).await?;
            if !response.status().is_redirection() {
                return Ok(response);
            }
            let location = response.headers().get(LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| at.join(to).ok());
            at = location.filter(|to| self.repository.may_lead_to(to)).ok_or_else(|| RegistryError::Answer {
                call: call.clone(),
                what: format!("answered {} and leads nowhere the agent may go", response.status().as_u16()),
            })?;
        }
        Err(RegistryError::Answer { call, what: format!("leads on and on, more than {MAX_REDIRECTIONS} times") })
    }

    /// Gets what the registry asks for.
    async fn meet(&mut self, response: &Response, url: &Url) -> Result<(), RegistryError> {
        let refused = |what: &str| RegistryError::Answer { call: format!("GET {url}"), what: format!("answered 401{what}") };
        self.shown = Some(match Challenge::of(response.headers()) {
            Some(Challenge::Basic) => match self.auth {
                Some(auth) => Shown::Basic(auth),
                None => return Err(refused(": it wants a user and a password, and this device has none for it")),
            },
            Some(Challenge::Bearer { realm, service, scope }) => {
                if !self.repository.may_lead_to(&realm) {
                    return Err(refused(": it names a token server that is not asked, since it is not reached over TLS"));
                }
                let token = self.token(realm, service, scope).await?;
                let mut token = HeaderValue::from_str(&format!("Bearer {token}"))
                    .map_err(|_| refused(": its token holds characters that no token has"))?;
                token.set_sensitive(true);
                Shown::Bearer(token)
            }
            None => return Err(refused(" and does not say what it wants")),
        });
        Ok(())
    }

    /// Asks the token server that the registry names; with the credentials, if they are for this registry.
    async fn token(&self, mut realm: Url, service: Option<String>, scope: Option<String>) -> Result<String, RegistryError> {
        let call = format!("GET {realm}");
        let scope = scope.unwrap_or_else(|| format!("repository:{}:pull", self.repository.name));
        realm.query_pairs_mut().extend_pairs(service.map(|service| ("service", service))).append_pair("scope", &scope);
        let mut request = self.client.get(realm);
        if let Some(auth) = self.auth {
            request = Shown::Basic(auth).put_on(request);
        }
        let text = text(send(request, &call).await?, &call, TOKEN_LIMIT_BYTES).await?;
        let token = serde_json::from_str::<Token>(&text).ok().and_then(|answer| answer.token.or(answer.access_token));
        token
            .filter(|token| !token.is_empty())
            .ok_or_else(|| RegistryError::Answer { call, what: "the answer holds no token".into() })
    }
}

async fn send(request: RequestBuilder, call: &str) -> Result<Response, RegistryError> {
    let unreachable =
        |error: reqwest::Error| RegistryError::Unreachable { call: call.to_owned(), cause: chain(&error.without_url()) };
    request.send().await.map_err(unreachable)
}

/// The body of an answer that is a success.
async fn text(response: Response, call: &str, size_bytes: usize) -> Result<String, RegistryError> {
    let status = response.status();
    // The time of all calls together is limited where they are made.
    let limits = |size_bytes| Limits { size_bytes, idle: IDLE, total: Duration::from_secs(3600) };
    if status == StatusCode::OK {
        return read_text(response, limits(size_bytes))
            .await
            .map_err(|error| RegistryError::Body { call: call.to_owned(), error });
    }
    let message = match shorten(&read_text(response, limits(ERROR_LIMIT_BYTES)).await.unwrap_or_default()) {
        short if short.is_empty() => short,
        short => format!(": {short}"),
    };
    Err(RegistryError::Status { call: call.to_owned(), status: status.as_u16(), message })
}

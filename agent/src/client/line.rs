//! A connection to an agent. Whatever carries it, it is a unix stream: to the socket, or to an ssh that goes on from there.

use std::io;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::UnixStream;
use tokio::task::JoinHandle;

use super::ClientError;
use super::ssh::Ssh;
use crate::http::chain;

/// What is sent: one type, so that there is one copy of the code that sends it.
pub(super) type Outgoing = UnsyncBoxBody<Bytes, io::Error>;

/// A connection that is served while this is kept.
pub(super) struct Line {
    sender: SendRequest<Outgoing>,
    serving: JoinHandle<()>,
    ssh: Option<Ssh>,
    /// Whether the agent was heard on it.
    answered: bool,
}

impl Line {
    pub(super) async fn over(stream: UnixStream, ssh: Option<Ssh>) -> Result<Line, ClientError> {
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|cause| broken(&cause))?;
        let serving = tokio::spawn(async move {
            // How it ended is told by what it carried.
            let _ = connection.await;
        });
        Ok(Line { sender, serving, ssh, answered: false })
    }

    /// Sends a request; the answer's body is still to come. `name` is what a person calls the other end.
    pub(super) async fn ask(&mut self, name: &str, request: Request<Outgoing>) -> Result<Response<Incoming>, ClientError> {
        let error = match self.sender.send_request(request).await {
            Ok(response) => {
                self.answered = true;
                return Ok(response);
            }
            Err(error) => error,
        };
        match &mut self.ssh {
            Some(_) if error.is_parse() => Err(ClientError::Broken {
                cause: format!("{name} sent something else ({error}); does a start-up file of the shell there print something?"),
            }),
            Some(ssh) if !self.answered => Err(ClientError::RemoteNotReachable { host: name.to_owned(), cause: ssh.why().await }),
            _ => Err(broken(&error)),
        }
    }

    /// Whether another request may follow: the other end has not closed it.
    pub(super) async fn is_open(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        // With the connection gone, an ssh that works ends by itself; one that never got through would go on trying.
        self.serving.abort();
        if let Some(ssh) = self.ssh.as_mut().filter(|_| !self.answered) {
            ssh.kill();
        }
    }
}

pub(super) fn broken(cause: &hyper::Error) -> ClientError {
    ClientError::Broken { cause: chain(cause) }
}

//! What can go wrong before the first request.

/// Why the socket could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    /// Somebody answers there.
    #[error("{path}: another agent answers on this socket; stop it, or give this one a socket of its own with --socket")]
    Occupied {
        /// The socket.
        path: String,
    },
    /// Something that is not a socket is in the way.
    #[error("{path}: is there already and is not a socket; it is left as it is, give another path with --socket")]
    NotASocket {
        /// The path.
        path: String,
    },
    /// The file system refused.
    #[error("{path}: {doing} failed: {cause}")]
    File {
        /// The path.
        path: String,
        /// What was tried.
        doing: &'static str,
        /// What happened.
        #[source]
        cause: std::io::Error,
    },
}

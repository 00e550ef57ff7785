//! Who the device is to a registry.

/// Credentials for one registry host (protocol §11). `Debug` does not show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryAuth {
    /// `d_<uuid>`.
    pub username: String,
    /// The device key.
    pub password: String,
    /// The registry host they are for, and no other.
    pub server_address: String,
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RegistryAuth({} at {})", self.username, self.server_address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_show_the_password() {
        let auth = RegistryAuth { username: "d_u".into(), password: "hunter2".into(), server_address: "r.io".into() };
        assert_eq!(format!("{auth:?}"), "RegistryAuth(d_u at r.io)");
    }
}

//! A supervisor on the fake daemon that listens on TCP.

use std::net::TcpListener;
use std::path::PathBuf;

use super::wire::{Answer, Request};
use crate::bay::den::{Conf, Den};
use crate::bay::process::Served;
use crate::bay::until;

/// A bay whose API listens.
pub struct Open {
    /// First: it ends before the bay's directories go.
    pub served: Served,
    pub den: Den,
    pub port: u16,
}

/// A port that was free a moment ago.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Open {
    pub fn new() -> Self {
        Self::with("", "")
    }

    /// With more under `[api]`, and more tables.
    pub fn with(api: &str, rest: &str) -> Self {
        let port = free_port();
        let rest = format!("[api]\nlisten = \"127.0.0.1:{port}\"\n{api}\n{rest}");
        Self::on(Den::fake_with(Conf { rest: &rest, ..Conf::default() }), port)
    }

    pub fn on(den: Den, port: u16) -> Self {
        Self::with_env(den, port, &[])
    }

    /// With more in the supervisor's environment.
    pub fn with_env(den: Den, port: u16, env: &[(&str, &str)]) -> Self {
        let served = den.serve(env);
        let open = Self { served, den, port };
        until("the API listens", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string())
        });
        open
    }

    /// Kills the supervisor, and starts another one once `meanwhile` has been done.
    pub fn killed(&mut self, meanwhile: impl FnOnce(&Self)) {
        let _ = self.served.0.kill();
        self.served.end();
        meanwhile(self);
        self.served = self.den.serve(&[]);
        let port = self.port;
        until("the API listens again", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string())
        });
    }

    pub fn token_file(&self) -> PathBuf {
        self.den.state().join("api-token")
    }

    pub fn token(&self) -> String {
        std::fs::read_to_string(self.token_file()).unwrap().trim().to_owned()
    }

    /// A request with the token.
    pub fn request(&self, method: &str, path: &str) -> Request {
        self.bare(method, path).header("Authorization", &format!("Bearer {}", self.token()))
    }

    /// A request without one.
    pub fn bare(&self, method: &str, path: &str) -> Request {
        Request::new(self.port, method, path)
    }

    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path).send()
    }

    /// Calls that change something in the engine, so far.
    pub fn changes(&self) -> usize {
        let store = self.den.fake.as_ref().unwrap().store();
        store.calls.iter().filter(|(route, _)| !route.starts_with("GET ")).map(|(_, count)| count).sum()
    }
}

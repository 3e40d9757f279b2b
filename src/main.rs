<<<<<<< HEAD
//! Parse, dispatch, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    podbay::cli::run(std::env::args_os())
=======
fn main() {
    let env = podbay::config::env::Env::of_process();
    let config = podbay::config::Config::load(None, &env).unwrap();
    let rt = tokio::runtime::Runtime::new().unwrap();
    rt.block_on(podbay::api::server::serve(config, env, std::sync::Arc::new(|| Err("x".into())), || println!("ready")))
        .unwrap();
>>>>>>> docker
}

//! The demo around agents that do not do their job. (With the real agent it is a suite of its own.)

use super::*;

fn folders() -> Vec<PathBuf> {
    let mark = format!("holdfast-demo-{}-", std::process::id());
    let entries = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.to_string_lossy().contains(&mark)).collect()
}

#[tokio::test]
async fn an_agent_that_ends_or_is_missing_fails_the_demo_and_nothing_is_left() {
    let options = DemoOptions { engine: EngineChoice::Sim, exit: true, json: true, program: Some("/bin/false".into()) };
    assert!(!run(options).await.unwrap());
    assert_eq!(folders(), Vec::<PathBuf>::new());

    let narrator = Narrator::new(true);
    let options =
        DemoOptions { engine: EngineChoice::Sim, program: Some("/nonexistent/holdfast".into()), ..DemoOptions::default() };
    let mut stage = Stage::new().unwrap();
    let error = stage.play(&options, &narrator).await.unwrap_err();
    assert!(format!("{error:#}").contains("/nonexistent/holdfast"), "{error:#}");
    drop(stage);
    assert_eq!(folders(), Vec::<PathBuf>::new());
}

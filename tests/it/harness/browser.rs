//! Headless Chromium on a page of the running service, driven over WebDriver.
//!
//! Each browser has its own ChromeDriver, profile and home folder, and an environment without a proxy. Both programs end
//! when the handle drops, at the latest when this process ends: a shell waits for its stdin to close and then ends them.

use std::env;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;
use thirtyfour::{ChromiumLikeCapabilities, LoggingPrefsLogLevel, TimeoutConfiguration};

use super::lines::Lines;
use super::{Service, folder, report_not_run};

/// The longest that the browser may take for one step on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Chromium runs as root in containers, where its sandbox does not work. It loads only pages of the service under test.
const ARGUMENTS: [&str; 11] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--no-first-run",
    "--force-device-scale-factor=1",
    "--lang=en-US",
    "--window-size=1280,800",
];

/// Starts ChromeDriver and ends it, and the browser that it started, when stdin closes.
const GUARD: &str = r#""$1" --port=0 & cat >/dev/null
kill $(cat "/proc/$!/task/$!/children") $!; wait"#;

/// A browser on a page of the service.
pub(crate) struct Browser {
    driver: WebDriver,
    origin: String,
    _programs: Programs,
}

/// The two processes and their home folder.
struct Programs {
    shell: Child,
    output: Lines,
    _home: TempDir,
}

impl Browser {
    /// Whether Chromium and ChromeDriver are installed. If not, reports `test` as not run.
    pub(crate) fn is_there_for(test: &str) -> bool {
        let there = chromium().is_some() && chromedriver().is_some();
        if !there {
            report_not_run(test, "install Chromium (apt-get install chromium chromium-driver)");
        }
        there
    }

    /// Opens a page of the service. The path begins with a slash.
    pub(crate) async fn open(service: &Service, path: &str) -> Self {
        Self::open_at(service.base_url(), path).await
    }

    /// The same for a service behind another origin, for instance a proxy.
    pub(crate) async fn open_at(origin: String, path: &str) -> Self {
        let programs = Programs::start();
        let driver = WebDriver::new(programs.url(), capabilities()).await;
        let driver = driver.unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        let timeouts = TimeoutConfiguration::new(Some(2 * PATIENCE), Some(PATIENCE), None);
        driver.update_timeouts(timeouts).await.expect("ChromeDriver has timeouts");
        let browser = Self { driver, origin, _programs: programs };
        browser.goto(path).await;
        browser
    }

    /// Loads another page of the service.
    pub(crate) async fn goto(&self, path: &str) {
        self.driver.goto(format!("{}{path}", self.origin)).await.expect("the page loads");
    }

    /// Loads the page again.
    pub(crate) async fn reload(&self) {
        self.driver.refresh().await.expect("the page loads again");
    }

    /// Runs a script in the page: its return value.
    pub(crate) async fn run<T: DeserializeOwned>(&self, script: &str, arguments: &[Value]) -> T {
        let answer = self.driver.execute(script, arguments).await;
        let answer = answer.unwrap_or_else(|error| panic!("{script}: {error}"));
        answer.convert().unwrap_or_else(|error| panic!("{script}: {error}"))
    }

    /// Runs a script that reports by a call of `arguments[arguments.length - 1]`.
    pub(crate) async fn run_async<T: DeserializeOwned>(&self, script: &str, arguments: &[Value]) -> T {
        let answer = self.driver.execute_async(script, arguments).await;
        let answer = answer.unwrap_or_else(|error| panic!("a script failed: {error}"));
        answer.convert().expect("the script's type of answer")
    }

    /// Waits in the page until the expression is true. An expression that throws is not true yet.
    pub(crate) async fn until(&self, expression: &str) {
        let script = format!(
            "const done = arguments[1], end = Date.now() + arguments[0];
            (function look() {{
                let met = false;
                try {{ met = Boolean({expression}); }} catch {{ /* not yet */ }}
                if (met || Date.now() > end) done(met); else setTimeout(look, 10);
            }})();"
        );
        let patience = u64::try_from(PATIENCE.as_millis()).expect("it is short") - 1000;
        let met: bool = self.run_async(&script, &[json!(patience)]).await;
        if !met {
            let page: String = self.run("return document.body.innerText", &[]).await;
            panic!("not true in time: {expression}\nThe page shows:\n{page}");
        }
    }

    /// Waits until the element of a CSS selector contains this text.
    pub(crate) async fn until_text(&self, selector: &str, text: &str) {
        let (selector, text) = (json!(selector), json!(text));
        self.until(&format!("document.querySelector({selector}).innerText.includes({text})")).await;
    }

    /// Waits until the element of a CSS selector is displayed.
    pub(crate) async fn until_displayed(&self, selector: &str) {
        self.until(&format!("document.querySelector({}).checkVisibility()", json!(selector))).await;
    }

    /// Clicks the element of a CSS selector as a user does: once it is displayed, enabled and not covered.
    pub(crate) async fn click(&self, selector: &str) {
        self.until_displayed(selector).await;
        self.until_clicked(selector).await;
    }

    /// Chooses an option of the menu of a CSS selector.
    pub(crate) async fn choose(&self, menu: &str, option: &str) {
        self.until_displayed(menu).await;
        self.until_clicked(&format!("{menu} option[value={}]", json!(option))).await;
    }

    /// Clicks until a click succeeds: the page may be moving, or drawing the element again.
    async fn until_clicked(&self, selector: &str) {
        let end = Instant::now() + PATIENCE;
        loop {
            let clicked = async { self.driver.find(By::Css(selector)).await?.click().await }.await;
            match clicked {
                Ok(()) => return,
                Err(error) => assert!(Instant::now() < end, "{selector}: {error}"),
            }
        }
    }

    /// Replaces the text of a field.
    pub(crate) async fn fill(&self, selector: &str, text: &str) {
        self.until_displayed(selector).await;
        let field = self.driver.find(By::Css(selector)).await.unwrap_or_else(|error| panic!("{selector}: {error}"));
        field.clear().await.unwrap_or_else(|error| panic!("{selector}: {error}"));
        field.send_keys(text).await.unwrap_or_else(|error| panic!("{selector}: {error}"));
    }

    /// Presses keys at the focused element.
    pub(crate) async fn press(&self, keys: impl Into<thirtyfour::TypingData>) {
        let focused = self.driver.active_element().await.expect("a page has a focused element");
        focused.send_keys(keys).await.expect("the focused element takes keys");
    }

    /// The displayed text of the element of a CSS selector.
    pub(crate) async fn text(&self, selector: &str) -> String {
        self.until_displayed(selector).await;
        self.run("return document.querySelector(arguments[0]).innerText", &[json!(selector)]).await
    }

    /// Sends a command of the Chrome DevTools Protocol, for what WebDriver has no command.
    pub(crate) async fn devtools(&self, method: &str, parameters: Value) {
        self.driver.cdp().send_raw(method, parameters).await.unwrap_or_else(|error| panic!("{method}: {error}"));
    }

    /// Shows the page in the dark or the light colour scheme.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Gives the page a viewport of this size.
    pub(crate) async fn resize(&self, width: u32, height: u32) {
        let size = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", size).await;
    }

    /// Waits until no transition and no animation runs.
    pub(crate) async fn until_still(&self) {
        self.until("document.getAnimations().every((animation) => animation.playState !== 'running')").await;
    }

    /// A picture of the viewport, as PNG.
    pub(crate) async fn screenshot(&self) -> Vec<u8> {
        self.driver.screenshot_as_png().await.expect("a page can be pictured")
    }

    /// Asserts that the page wrote nothing to the console and made no request outside the service's origin, and quits.
    pub(crate) async fn quit(self) {
        self.quit_after_refusals(&[]).await;
    }

    /// The same for a page whose calls of the API were refused on purpose: the browser reports each answer with one of
    /// these statuses on the console.
    pub(crate) async fn quit_after_refusals(self, statuses: &[u16]) {
        let unexpected = self.console().await.into_iter().filter(|line| !self.is_refusal(line, statuses));
        let outside = self.requests().await.into_iter().filter(|url| !self.is_own(url));
        let mut faults = String::new();
        for line in unexpected {
            writeln!(faults, "on the console: {line}").expect("a string takes a line");
        }
        for url in outside {
            writeln!(faults, "a request outside the service: {url}").expect("a string takes a line");
        }
        assert!(faults.is_empty(), "{faults}");
        self.driver.quit().await.expect("the browser quits");
    }

    /// The messages on the console: those of scripts, failed requests, violations of the content security policy and the
    /// browser's own warnings.
    async fn console(&self) -> Vec<String> {
        let entries = self.driver.get_log("browser").await.expect("ChromeDriver keeps this log");
        entries.into_iter().map(|entry| entry.message).collect()
    }

    /// The URLs of all requests of the page.
    async fn requests(&self) -> Vec<String> {
        let entries = self.driver.get_log("performance").await.expect("ChromeDriver keeps this log");
        let urls: Vec<String> = entries.iter().filter_map(|entry| requested(&entry.message)).collect();
        assert!(!urls.is_empty(), "the log has the request for the page");
        urls
    }

    fn is_refusal(&self, line: &str, statuses: &[u16]) -> bool {
        let report = line.strip_prefix(&*self.origin).and_then(|line| line.split_once(" - "));
        let called = ["/v1/", "/oauth2/", "/sandbox/messages", "/sandbox/clock"];
        let status = report.filter(|(path, _)| called.iter().any(|start| path.starts_with(start)));
        let status = status
            .and_then(|(_, text)| text.strip_prefix("Failed to load resource: the server responded with a status of "));
        statuses.iter().any(|expected| status.is_some_and(|status| status.starts_with(&format!("{expected} "))))
    }

    fn is_own(&self, url: &str) -> bool {
        let own = url.strip_prefix(&*self.origin).is_some_and(|path| path.starts_with('/'));
        own || url.starts_with("data:") || url.starts_with("blob:")
    }
}

impl Programs {
    fn start() -> Self {
        let home = folder::temporary();
        let mut shell = Command::new("sh");
        shell.args(["-c", GUARD, "sh"]).arg(chromedriver().expect("the test checked that it is installed"));
        shell.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        shell.env("HOME", home.path()).env("TMPDIR", home.path()).current_dir(home.path());
        shell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut shell = shell.spawn().expect("a shell can be started");
        let output = Lines::of(shell.stdout.take().expect("stdout is piped"));
        Self { shell, output, _home: home }
    }

    /// ChromeDriver's URL; it picks its port itself.
    fn url(&self) -> String {
        let line = self.output.wait_for("started successfully on port", PATIENCE).expect("ChromeDriver starts");
        let port = line.trim_end_matches('.').rsplit(' ').next().expect("the line has words");
        format!("http://127.0.0.1:{port}")
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        // If waiting fails, the shell still ends both programs, because its stdin is closed.
        let _ = self.shell.wait();
    }
}

fn capabilities() -> thirtyfour::ChromeCapabilities {
    let mut capabilities = DesiredCapabilities::chrome();
    let program = chromium().expect("the test checked that it is installed");
    capabilities.set_binary(&program.to_string_lossy()).expect("a path is JSON");
    for argument in ARGUMENTS {
        capabilities.add_arg(argument).expect("an argument is JSON");
    }
    for log in ["browser", "performance"] {
        capabilities.set_logging_prefs(log, LoggingPrefsLogLevel::All).expect("a level is JSON");
    }
    capabilities
}

/// The URL of the request that an entry of the performance log announces.
fn requested(entry: &str) -> Option<String> {
    let entry: Value = serde_json::from_str(entry).expect("an event of the Chrome DevTools Protocol is JSON");
    let event = &entry["message"];
    let is_request = event["method"] == "Network.requestWillBeSent" || event["method"] == "Network.webSocketCreated";
    let url = event["params"]["request"]["url"].as_str().or_else(|| event["params"]["url"].as_str());
    url.filter(|_| is_request).map(str::to_owned)
}

fn chromium() -> Option<PathBuf> {
    installed(&["chromium", "google-chrome", "chromium-browser"])
}

fn chromedriver() -> Option<PathBuf> {
    installed(&["chromedriver"])
}

/// The first of these programs in `PATH`.
fn installed(names: &[&str]) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = env::split_paths(&path).collect();
    let places = names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name)));
    places.into_iter().find(|place| place.is_file())
}

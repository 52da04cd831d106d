//! A real browser without a window, asked over a pipe in its DevTools protocol: one page, what it says on its console, and whom it asks.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

use frontgate_test_support::any_tool;
use serde_json::{Value, json};

use crate::harness::PATIENCE;

/// The browser with its page.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    output: Receiver<Value>,
    folder: PathBuf,
    session: String,
    number: u64,
    /// What was said on the console, and what the browser says there itself, as of requests that failed.
    pub console: Vec<String>,
    /// Whom the page has asked.
    pub requests: Vec<String>,
    /// How many of those have come to an end.
    pub ended: usize,
}

/// What is not a matter of the page: what the browser asks its maker for, and what a container lacks.
const FLAGS: [&str; 9] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-extensions",
    "--remote-debugging-pipe",
];

impl Browser {
    /// Starts it with an empty page of this size; nothing, and the test is skipped, where there is none.
    pub fn start(width: u32, height: u32) -> Option<Self> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let program = any_tool(&["chromium-headless-shell", "chromium"])?;
        let number = COUNT.fetch_add(1, Ordering::SeqCst);
        let folder = std::env::temp_dir().join(format!("frontgate-browser-{}-{number}", std::process::id()));
        // It reads what it is asked from its descriptor 3, and answers on 4.
        let mut child = Command::new("sh")
            .args(["-c", r#"exec "$0" "$@" 3<&0 4>&1 </dev/null >/dev/null 2>&1"#])
            .arg(program)
            .args(FLAGS)
            .arg(format!("--user-data-dir={}", folder.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, mut lines) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut held = Vec::new();
            while lines.read_until(0, &mut held).is_ok_and(|count| count > 0) {
                held.pop();
                if sender.send(serde_json::from_slice(&held).unwrap()).is_err() {
                    return;
                }
                held.clear();
            }
        });
        let mut browser =
            Self { child, input, output, folder, session: String::new(), number: 0, console: Vec::new(), requests: Vec::new(), ended: 0 };
        let target = browser.call("Target.createTarget", json!({"url": "about:blank"}))["targetId"].clone();
        let session = browser.call("Target.attachToTarget", json!({"targetId": target, "flatten": true}));
        browser.session = session["sessionId"].as_str().unwrap().to_owned();
        for domain in ["Runtime", "Log", "Network", "Page"] {
            browser.call(&format!("{domain}.enable"), json!({}));
        }
        browser.size(width, height);
        Some(browser)
    }

    /// Gives the page another size.
    pub fn size(&mut self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// Says what its user likes better: `light` or `dark`.
    pub fn prefers(&mut self, scheme: &str) {
        self.call("Emulation.setEmulatedMedia", json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]}));
    }

    /// Opens an address, as if it were typed.
    #[track_caller]
    pub fn open(&mut self, url: &str) {
        let opened = self.call("Page.navigate", json!({"url": url}));
        assert!(opened["errorText"].is_null(), "{opened}");
        self.until("the page to be there", "document.readyState === 'complete'");
    }

    /// The value of an expression.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let told = self.call("Runtime.evaluate", json!({"expression": expression, "returnByValue": true, "awaitPromise": true}));
        assert!(told["exceptionDetails"].is_null(), "{expression}: {told}");
        told["result"]["value"].clone()
    }

    /// What evaluating an expression throws, where the page itself does it.
    pub fn thrown(&mut self, expression: &str) -> Option<String> {
        let told = self.call("Runtime.evaluate", json!({"expression": expression, "allowUnsafeEvalBlockedByCSP": false}));
        told["exceptionDetails"]["exception"]["description"].as_str().map(str::to_owned)
    }

    /// The text of what a selector finds first.
    #[track_caller]
    pub fn text(&mut self, selector: &str) -> String {
        self.value(&format!("document.querySelector({selector:?})?.textContent ?? ''")).as_str().unwrap().to_owned()
    }

    /// Whether what a selector finds first is to be seen.
    #[track_caller]
    pub fn shows(&mut self, selector: &str) -> bool {
        self.value(&format!("document.querySelector({selector:?})?.checkVisibility() === true")) == true
    }

    /// Waits until an expression is true.
    #[track_caller]
    pub fn until(&mut self, what: &str, expression: &str) {
        let end = Instant::now() + PATIENCE;
        while self.value(expression) != true {
            assert!(Instant::now() < end, "{what} did not come about; the page says: {}", self.value("document.body.innerText"));
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    }

    /// Presses a key.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            " " => (32, " "),
            _ => (9, ""),
        };
        let kind = if text.is_empty() { "rawKeyDown" } else { "keyDown" };
        for kind in [kind, "keyUp"] {
            let code_name = if key == " " { "Space" } else { key };
            let event = json!({"type": kind, "key": key, "code": code_name, "windowsVirtualKeyCode": code, "text": text});
            self.call("Input.dispatchKeyEvent", event);
        }
    }

    /// Types a text where the focus is.
    pub fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({"text": text}));
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut message = json!({"id": self.number, "method": method, "params": parameters});
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let told = self.output.recv_timeout(PATIENCE).unwrap_or_else(|error| panic!("{method}: {error}"));
            if told["id"] == self.number {
                assert!(told["error"].is_null(), "{method}: {told}");
                return told["result"].clone();
            }
            self.heard(&told);
        }
    }

    fn heard(&mut self, event: &Value) {
        let told = &event["params"];
        match event["method"].as_str() {
            Some("Runtime.consoleAPICalled" | "Runtime.exceptionThrown") => self.console.push(told.to_string()),
            Some("Log.entryAdded") => self.console.push(told["entry"].to_string()),
            Some("Network.requestWillBeSent") => self.requests.push(told["request"]["url"].as_str().unwrap().to_owned()),
            Some("Network.loadingFinished" | "Network.loadingFailed") => self.ended += 1,
            _ => {}
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

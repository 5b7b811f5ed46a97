//! A page in a real Chromium, driven by mouse and keys.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headless_chrome::browser::tab::ModifierKey;
use headless_chrome::protocol::cdp::Input;
use headless_chrome::protocol::cdp::Page::CaptureScreenshotFormatOption;
use headless_chrome::{Browser, LaunchOptions, Tab};
use serde_json::Value;

/// A page in a browser.
pub struct Opened {
    tab: Arc<Tab>,
    _browser: Browser,
}

impl Opened {
    /// The page; `None` after saying that `test` is skipped where there is no browser.
    pub fn new(page: &Path, test: &str) -> Option<Self> {
        Self::sized(page, test, (1366, 768))
    }

    /// The page in a window of this size.
    pub fn sized(page: &Path, test: &str, size: (u32, u32)) -> Option<Self> {
        let names = ["chromium", "chromium-browser", "google-chrome"];
        let found = names.iter().find_map(|name| {
            let paths = std::env::var_os("PATH")?;
            std::env::split_paths(&paths).map(|folder| folder.join(name)).find(|path| path.is_file())
        });
        let Some(program) = found else {
            println!("skipped: {test} (no chromium)");
            return None;
        };
        // Root, as in containers, has no sandbox.
        let options = LaunchOptions {
            path: Some(program),
            sandbox: false,
            window_size: Some(size),
            idle_browser_timeout: Duration::from_secs(300),
            ..LaunchOptions::default()
        };
        let browser = Browser::new(options).unwrap();
        let tab = browser.new_tab().unwrap();
        let opened = Self { tab, _browser: browser };
        opened.tab.enable_log().unwrap();
        opened.open(page);
        Some(opened)
    }

    /// Goes to a page and waits until it is put together.
    pub fn open(&self, page: &Path) {
        // Work that is in no file would be asked about.
        self.value("typeof works === 'object' && (exported = new Set(Object.values(works).flatMap((w) => w.log.map((o) => o.id))), true)");
        self.tab.navigate_to(&format!("file://{}", page.canonicalize().unwrap().display())).unwrap();
        self.tab.wait_until_navigated().unwrap();
        self.until("document.documentElement.dataset.ready === 'true'");
    }

    pub fn value(&self, expression: &str) -> Value {
        let result = self.tab.evaluate(expression, true).unwrap();
        result.value.unwrap_or(Value::Null)
    }

    /// The value of an expression that is a list or a record, which the browser gives only as text.
    pub fn json(&self, expression: &str) -> Value {
        serde_json::from_str(&self.text(&format!("JSON.stringify({expression})"))).unwrap()
    }

    pub fn text(&self, expression: &str) -> String {
        self.value(expression).as_str().unwrap_or_else(|| panic!("{expression} is no text")).to_owned()
    }

    pub fn number(&self, expression: &str) -> f64 {
        self.value(expression).as_f64().unwrap_or_else(|| panic!("{expression} is no number"))
    }

    pub fn is(&self, expression: &str) -> bool {
        self.value(expression) == Value::Bool(true)
    }

    pub fn until(&self, condition: &str) {
        let started = Instant::now();
        while self.value(condition) != Value::Bool(true) {
            assert!(started.elapsed() < Duration::from_secs(30), "{condition} does not come true");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Presses a key, with modifiers as in `Ctrl+Shift+z`.
    pub fn press(&self, key: &str) {
        let mut parts: Vec<&str> = if key.len() > 1 { key.split('+').collect() } else { vec![key] };
        let key = parts.pop().unwrap();
        let modifiers: Vec<ModifierKey> = parts
            .iter()
            .map(|name| match *name {
                "Ctrl" => ModifierKey::Ctrl,
                "Shift" => ModifierKey::Shift,
                _ => ModifierKey::Alt,
            })
            .collect();
        self.tab.press_key_with_modifiers(key, Some(&modifiers)).unwrap();
    }

    pub fn type_text(&self, text: &str) {
        self.tab.send_character(text).unwrap();
    }

    pub fn mouse(&self, kind: Input::DispatchMouseEventTypeOption, [x, y]: [f64; 2], wheel: f64) {
        let is_move = matches!(kind, Input::DispatchMouseEventTypeOption::MouseMoved);
        self.tab
            .call_method(Input::DispatchMouseEvent {
                Type: kind,
                x,
                y,
                modifiers: None,
                timestamp: None,
                button: (!is_move).then_some(Input::MouseButton::Left),
                buttons: None,
                click_count: Some(1),
                force: None,
                tangential_pressure: None,
                tilt_x: None,
                tilt_y: None,
                twist: None,
                delta_x: Some(0.0),
                delta_y: Some(wheel),
                pointer_Type: None,
            })
            .unwrap();
    }

    /// Presses the button at one position, moves to the others, and lets go.
    pub fn drag(&self, path: &[[f64; 2]]) {
        use Input::DispatchMouseEventTypeOption::{MouseMoved, MousePressed, MouseReleased};
        self.mouse(MouseMoved, path[0], 0.0);
        self.mouse(MousePressed, path[0], 0.0);
        for position in &path[1..] {
            self.mouse(MouseMoved, *position, 0.0);
        }
        self.mouse(MouseReleased, path[path.len() - 1], 0.0);
    }

    pub fn click_at(&self, position: [f64; 2]) {
        self.drag(&[position]);
    }

    /// Clicks the element with this id.
    pub fn click(&self, id: &str) {
        let bounds = format!("document.getElementById('{id}').getBoundingClientRect()");
        let x = self.number(&format!("{bounds}.left + {bounds}.width / 2"));
        let y = self.number(&format!("{bounds}.top + {bounds}.height / 2"));
        self.click_at([x, y]);
    }

    /// Where a time lies on the lane of a signer, in the window.
    pub fn on_lane(&self, time: &str, lane: usize) -> [f64; 2] {
        let x = self.number(&format!("timeline.getBoundingClientRect().left + xOf({time}, timeline.clientWidth)"));
        let row = format!("rows().list.filter((row) => row.kind === 'lane')[{lane}]");
        let y = self.number(&format!("timeline.getBoundingClientRect().top + {row}.y + {row}.height / 2"));
        [x, y]
    }

    /// The segments of a signer, `first-last label review`.
    pub fn lane(&self, track: usize) -> Vec<String> {
        let one = "(s) => `${s.first_frame}-${s.last_frame} ${s.label}${s.review ? ' ' + s.review : ''}`";
        let all = self.json(&format!("lanes().of({track}).map({one})"));
        all.as_array()
            .unwrap_or_else(|| panic!("no lane of {track}: {all}"))
            .iter()
            .map(|v| v.as_str().unwrap().into())
            .collect()
    }

    /// Everything that is kept of the work, to compare states by.
    pub fn state(&self) -> String {
        self.text(
            "JSON.stringify([lanes().all().map((s) => FIELDS.map((f) => s[f])).sort((a, b) => a[1] - b[1] || a[2] - b[2]), \
             tracks.map((t) => [t.id, t.name, t.into])])",
        )
    }

    /// The text of the file that saving would give.
    pub fn file(&self) -> String {
        self.text("fileText()")
    }

    /// Lets the page go without being asked whether.
    pub fn reload(&self) {
        self.value("exported = new Set(Object.values(works).flatMap((w) => w.log.map((o) => o.id))); keepWork()");
        self.tab.reload(false, None).unwrap();
        self.tab.wait_until_navigated().unwrap();
        self.until("document.documentElement.dataset.ready === 'true'");
    }

    /// A picture of the window, PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        self.tab.capture_screenshot(CaptureScreenshotFormatOption::Png, None, None, true).unwrap()
    }
}

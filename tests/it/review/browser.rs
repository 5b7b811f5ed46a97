//! A page in a real Chromium, driven by mouse and keys.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use headless_chrome::browser::tab::ModifierKey;
use headless_chrome::protocol::cdp::Page::CaptureScreenshotFormatOption;
use headless_chrome::protocol::cdp::{Emulation, Input};
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
        self.leave(|tab| {
            tab.navigate_to(&format!("file://{}", page.canonicalize().unwrap().display())).unwrap();
        });
    }

    /// Leaves the page by `way` and waits until the next one is put together.
    fn leave(&self, way: impl FnOnce(&Tab)) {
        // The browser may answer that it has navigated before it begins: the page that is left must not be taken for the next.
        self.value("document.documentElement.dataset.ready = 'left'");
        way(&self.tab);
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
        // While one page makes way for the next, there is none that could answer.
        while !self.tab.evaluate(condition, true).is_ok_and(|answer| answer.value == Some(Value::Bool(true))) {
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

    pub fn mouse(&self, kind: Input::DispatchMouseEventTypeOption, place: [f64; 2], wheel: f64) {
        self.mouse_with(kind, place, wheel, 0);
    }

    /// As [`mouse`](Self::mouse), with keys held: 1 for Alt, 8 for Shift.
    pub fn mouse_with(&self, kind: Input::DispatchMouseEventTypeOption, [x, y]: [f64; 2], wheel: f64, held: u32) {
        let is_move = matches!(kind, Input::DispatchMouseEventTypeOption::MouseMoved);
        self.tab
            .call_method(Input::DispatchMouseEvent {
                Type: kind,
                x,
                y,
                modifiers: Some(held),
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
        self.drag_with(path, 0);
    }

    /// As [`drag`](Self::drag), with keys held.
    pub fn drag_with(&self, path: &[[f64; 2]], held: u32) {
        use Input::DispatchMouseEventTypeOption::{MouseMoved, MousePressed, MouseReleased};
        self.mouse_with(MouseMoved, path[0], 0.0, held);
        self.mouse_with(MousePressed, path[0], 0.0, held);
        for place in &path[1..] {
            self.mouse_with(MouseMoved, *place, 0.0, held);
        }
        self.mouse_with(MouseReleased, path[path.len() - 1], 0.0, held);
    }

    pub fn click_at(&self, position: [f64; 2]) {
        self.drag(&[position]);
    }

    /// Clicks the element with this id.
    pub fn click(&self, id: &str) {
        self.value(&format!("document.getElementById('{id}').scrollIntoView({{ block: 'nearest' }})"));
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

    /// Where a time lies on the row of a signer's events of a part of the face; `share` of its height.
    pub fn on_events(&self, track: usize, part: &str, time: &str, share: f64) -> [f64; 2] {
        let row = format!("rows().list.find((row) => row.part === '{part}' && row.track.id === {track})");
        let x = self.number(&format!("timeline.getBoundingClientRect().left + xOf({time}, timeline.clientWidth)"));
        let y = self.number(&format!("timeline.getBoundingClientRect().top + {row}.y + {share} * {row}.height"));
        [x, y]
    }

    /// The events of a part of a signer's face, `first-last kind review`.
    pub fn events(&self, track: usize, part: &str) -> Vec<String> {
        let one = "(s) => `${s.first_frame}-${s.last_frame} ${s.event}${s.review ? ' ' + s.review : ''}`";
        let all = self.json(&format!("lanes().ofPart({track}, '{part}').map({one})"));
        all.as_array().unwrap().iter().map(|v| v.as_str().unwrap().into()).collect()
    }

    /// Goes to a frame.
    pub fn seek(&self, frame: usize) {
        self.value(&format!("seek({frame})"));
    }

    /// What the page said last.
    pub fn message(&self) -> String {
        self.text("document.getElementById('message').textContent")
    }

    /// The warnings that stand on the page.
    pub fn warnings(&self) -> String {
        self.text("document.getElementById('warnings').textContent")
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
            "JSON.stringify([[...lanes().byId.values()].map((s) => FIELDS.map((f) => s[f])).sort((a, b) => a[1] - b[1] || a[2] - b[2] || (a[0] < b[0] ? -1 : 1)), \
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
        self.reload_unsaved();
    }

    /// As [`reload`](Self::reload), with work that is in no file.
    pub fn reload_unsaved(&self) {
        // Work that is in no file would be asked about; what is kept stays as it is.
        self.value("exported = new Set(Object.values(works).flatMap((w) => w.log.map((o) => o.id))), true");
        self.leave(|tab| {
            tab.reload(false, None).unwrap();
        });
    }

    /// Has the page shown in dark colours, or in light ones.
    pub fn prefer_dark(&self, dark: bool) {
        let feature = Emulation::MediaFeature {
            name: "prefers-color-scheme".into(),
            value: if dark { "dark" } else { "light" }.into(),
        };
        self.tab.call_method(Emulation::SetEmulatedMedia { media: None, features: Some(vec![feature]) }).unwrap();
    }

    /// A picture of the window, PNG.
    pub fn screenshot(&self) -> Vec<u8> {
        self.tab.capture_screenshot(CaptureScreenshotFormatOption::Png, None, None, true).unwrap()
    }
}

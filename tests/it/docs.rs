//! The pages: links lead somewhere, what is shown runs, and what is said in several pages agrees.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::material::{ffmpeg, program_path};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The pages of the book, and those beside it that it links to.
fn pages() -> Vec<PathBuf> {
    let docs = std::fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let docs = docs.filter(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut pages: Vec<PathBuf> = docs.chain(["README.md", "CONTRIBUTING.md"].map(|name| root().join(name))).collect();
    pages.sort();
    pages
}

fn text(page: &Path) -> String {
    std::fs::read_to_string(page).unwrap()
}

/// The text without what stands in fences and in `code`.
fn prose(text: &str) -> String {
    let mut is_code = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    });
    lines.map(|line| line.split('`').step_by(2).collect::<Vec<_>>().join("`") + "\n").collect()
}

/// The targets of `[...](...)`.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let targets = prose.split("](").skip(1).filter_map(|after| after.split_once(')'));
    targets.map(|(target, _)| target.to_owned()).collect()
}

/// What follows `#` in links to the headings of a page, as GitHub and mdBook make it.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut is_code = false;
    let mut anchors = BTreeSet::new();
    for line in text.lines() {
        is_code ^= line.starts_with("```");
        if !is_code && line.starts_with('#') {
            let heading = line.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter(|c| c.is_alphanumeric() || "-_ ".contains(*c));
            anchors.insert(kept.map(|c| if c == ' ' { '-' } else { c }).collect());
        }
    }
    anchors
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut faults = Vec::new();
    let mut count = 0;
    for page in pages() {
        for link in links(&text(&page)) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            count += 1;
            let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let is_there = target.exists() && (anchor.is_empty() || anchors(&text(&target)).contains(anchor));
            if !is_there {
                faults.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(faults.is_empty(), "links that lead nowhere:\n{}", faults.join("\n"));
    assert!(count > 30, "only {count} links were found");
}

#[test]
fn the_reading_of_links_knows_code_and_headings() {
    let page = "# `a` and B: c\n[x](y.md#z) `[no](link)`\n```\n[none](here)\n# no heading\n```\n![p](q.png)\n";
    assert_eq!(links(page), ["y.md#z", "q.png"]);
    assert_eq!(anchors(page), BTreeSet::from(["a-and-b-c".to_owned()]));
}

#[test]
fn every_page_is_in_the_book() {
    let summary = links(&text(&root().join("docs/SUMMARY.md")));
    for page in pages().iter().filter(|page| page.parent().unwrap().ends_with("docs")) {
        let name = page.file_name().unwrap().to_str().unwrap();
        assert!(name == "SUMMARY.md" || summary.iter().any(|link| link == name), "{name} is not in docs/SUMMARY.md");
    }
}

/// What the comment ahead of commands says is done with them.
#[derive(Debug, PartialEq)]
enum Treatment {
    Run,
    /// Their arguments are understood.
    Checked,
    NotRun,
}

/// The commands of a page, each with the number of its line.
fn commands(page: &Path) -> Vec<(Treatment, Vec<(usize, String)>)> {
    let text = text(page);
    let lines: Vec<&str> = text.lines().collect();
    let mut blocks = Vec::new();
    for (at, _) in lines.iter().enumerate().filter(|(_, line)| **line == "```console") {
        let said = at.checked_sub(1).map_or("", |before| lines[before]);
        let said = said.strip_prefix("<!-- ").and_then(|said| said.strip_suffix(" -->")).unwrap_or_default();
        let has_reason = |word: &str| said.strip_prefix(word).is_some_and(|reason| !reason.trim().is_empty());
        // Where the pages are shown on a code host, comments do no harm; the README does without.
        let is_readme = page.ends_with("README.md");
        let treatment = match said {
            "run" => Treatment::Run,
            _ if is_readme => Treatment::Checked,
            _ if has_reason("checked:") => Treatment::Checked,
            _ if has_reason("not run:") => Treatment::NotRun,
            _ => panic!(
                "{}:{}: ahead of commands stands '<!-- run -->', '<!-- checked: why -->' or '<!-- not run: why -->'",
                page.display(),
                at + 1
            ),
        };
        let block = lines[at + 1..].iter().take_while(|line| **line != "```").enumerate();
        let own = block.filter_map(|(line, text)| Some((at + line + 2, text.strip_prefix("$ ")?.to_owned())));
        // Of the README, what another program, a file that is not there, or a network would have to answer is left out.
        let foreign = ["<", "|", "://", " pull ", "..."];
        let is_ours = |line: &str| line.starts_with("annotate ") && !foreign.iter().any(|sign| line.contains(sign));
        let own = own.filter(|(_, line)| !is_readme || is_ours(line));
        blocks.push((treatment, own.collect()));
    }
    blocks
}

/// Runs a line as a shell does that finds the program.
fn shell(line: &str, folder: &Path) -> Output {
    let programs = program_path().parent().unwrap().display().to_string();
    let path = format!("{programs}:{}", std::env::var("PATH").unwrap_or_default());
    let mut command = Command::new("sh");
    for (name, _) in std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("ANNOTATE_")) {
        command.env_remove(name);
    }
    command.args(["-c", line]).current_dir(folder).env("PATH", path).env("XDG_CONFIG_HOME", "/nonexistent");
    command.stdin(std::process::Stdio::null()).output().unwrap()
}

/// A folder with what the pages speak of: the bundled clip under their names, pictures of faces, the page's recipe.
fn prepared(page: &Path) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    std::fs::create_dir_all(at("corpus/sub")).unwrap();
    let demo = root().join("assets/demo/demo.mp4");
    ffmpeg(&format!("-i {} -t 1.5 -c copy", demo.display()), &at("corpus.mp4"));
    std::fs::copy(at("corpus.mp4"), at("corpus/a.mp4")).unwrap();
    std::fs::copy(at("corpus.mp4"), at("corpus/sub/b.mp4")).unwrap();
    let classes = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"];
    for (index, class) in classes.into_iter().enumerate() {
        std::fs::create_dir_all(at("faces").join(class)).unwrap();
        for number in 0..10u32 {
            let picture = image::GrayImage::from_fn(48, 48, |x, y| {
                image::Luma([((x * (index as u32 + 2) + y * (number + 3) + number * 31) % 256) as u8])
            });
            picture.save(at("faces").join(class).join(format!("{number}.png"))).unwrap();
        }
    }
    let text = text(page);
    let recipe = text.split("```toml\n").skip(1).filter_map(|block| block.split("```").next());
    if let Some(recipe) = recipe.into_iter().find(|block| block.contains("[[stages]]")) {
        std::fs::write(at("recipe.toml"), recipe).unwrap();
    }
    folder
}

#[test]
fn every_command_that_the_pages_show_runs() {
    let mut counts = BTreeMap::new();
    for page in pages() {
        let blocks = commands(&page);
        let folder = blocks.iter().any(|(treatment, _)| *treatment == Treatment::Run).then(|| prepared(&page));
        for (treatment, lines) in blocks {
            *counts.entry(format!("{treatment:?}")).or_insert(0) += lines.len();
            for (number, line) in lines {
                let location = format!("{}:{number}: {line}", page.display());
                match (&treatment, &folder) {
                    (Treatment::Run, Some(folder)) => {
                        let output = shell(&line, folder.path());
                        assert!(output.status.success(), "{location}\n{}", String::from_utf8_lossy(&output.stderr));
                    }
                    (Treatment::Checked, _) => {
                        let empty = tempfile::tempdir().unwrap();
                        let output = shell(&line, empty.path());
                        let said = String::from_utf8_lossy(&output.stderr);
                        assert_ne!(output.status.code(), Some(2), "{location}: wrong usage\n{said}");
                        assert_ne!(output.status.code(), Some(127), "{location}: no such program\n{said}");
                    }
                    _ => {}
                }
            }
        }
    }
    println!("{counts:?}");
    assert!(counts["Run"] >= 20, "{counts:?}");
}

#[test]
fn the_version_is_the_same_wherever_it_stands() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(text(&root().join("CITATION.cff")).contains(&format!("\nversion: {version}\n")));
    let codemeta: serde_json::Value = serde_json::from_str(&text(&root().join("codemeta.json"))).unwrap();
    assert_eq!(codemeta["version"], version);
}

//! Training, cross-validation and evaluation, as a person runs them, on pictures of a few dozen pixels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::material::{program, program_path};
use serde_json::Value;
use tempfile::TempDir;

const CLASSES: [&str; 7] = ["neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger"];

/// Hues of about the same brightness; one a class.
const HUES: [[u8; 3]; 7] =
    [[128, 128, 128], [225, 90, 60], [30, 150, 210], [70, 170, 60], [170, 90, 200], [200, 110, 20], [20, 160, 140]];

const RECIPE: &str = r#"
name = "tiny"
seed = 7
batch = 8
average_decay = 0.9
select = "accuracy"

[architecture]
family = "mobilenet_v1"
stem_channels = 8
stem_stride = 1
dropout = 0.2
blocks = [{ channels = 16, stride = 2 }, { channels = 16, stride = 2 }]

[input]
side = 16
colours = "luma"
mean = [0.5]
deviation = [0.25]

[[stages]]
epochs = 2
optimiser = { learning_rate = 1e-2, weight_decay = 0.01 }

[[stages]]
epochs = 2
optimiser = { kind = "sgd", learning_rate = 1e-2, momentum = 0.9, nesterov = true, sam_rho = 0.05 }
schedule = { kind = "cosine", warm_up_epochs = 0.5 }

[augmentation]
flip = true
shift = 0.05
occlusion_share = 0.2
occlusion_size = 0.3
mixup = 0.2
"#;

/// A folder with pictures, a manifest and a recipe.
struct Workspace {
    folder: TempDir,
}

impl Workspace {
    /// `count` pictures of each class, of three subjects to each split; stripes say the class, or hues do.
    fn new(count: usize, by_hue: bool) -> Self {
        let workspace = Self { folder: tempfile::tempdir().unwrap() };
        let mut manifest = "path,label,subject,sequence,split\n".to_owned();
        for split in ["train", "validation", "test"] {
            let count = if split == "train" { count } else { count.div_ceil(2) };
            for (class, name) in CLASSES.iter().enumerate() {
                for index in 0..count {
                    let file = format!("{split}-{name}-{index}.png");
                    let noise = |x: u32, y: u32| ((x * 7 + y * 13 + index as u32 * 29) % 17) as u8;
                    let picture = image::RgbImage::from_fn(16, 16, |x, y| {
                        let stripe = if (x * (class as u32 + 1) / 8).is_multiple_of(2) { 60 } else { 180 };
                        let colour = if by_hue { HUES[class] } else { [stripe; 3] };
                        image::Rgb(colour.map(|value| value.saturating_add(noise(x, y))))
                    });
                    picture.save(workspace.path(&file)).unwrap();
                    manifest += &format!("{file},{name},{split}-{},s{}-{split},{split}\n", index % 3, index % 5);
                }
            }
        }
        workspace.write("manifest.csv", &manifest);
        workspace.write("recipe.toml", RECIPE);
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_str(&self.read(name)).unwrap()
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = program();
        command.args(arguments.split_whitespace()).current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &str) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Runs and asserts success; standard output and standard error come back.
    fn succeeds(&self, arguments: &str) -> (String, String) {
        let output = self.run(arguments);
        let [out, error] = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(output.status.success(), "{arguments}: {error}");
        (out, error)
    }

    /// Runs and asserts the exit code and that the last line on standard error has all of `parts`.
    fn refuses(&self, arguments: &str, code: i32, parts: &[&str]) {
        let output = self.run(arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments}: {message}");
        let last = message.lines().last().unwrap_or_default();
        for part in parts {
            assert!(last.contains(part), "'{part}' is not in: {message}");
        }
    }

    fn tensors(&self, model: &str) -> BTreeMap<String, Vec<f32>> {
        let path = self.path(model).join("model.safetensors");
        let tensors = candle_core::safetensors::load(path, &candle_core::Device::Cpu).unwrap();
        let values = |t: candle_core::Tensor| {
            t.to_dtype(candle_core::DType::F32).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        tensors.into_iter().map(|(name, tensor)| (name, values(tensor))).collect()
    }

    fn accuracy(&self, run: &str) -> f64 {
        self.json(&format!("{run}/report.json"))["evaluation"]["metrics"]["accuracy"].as_f64().unwrap()
    }
}

const TRAIN: &str = "train --data manifest.csv --recipe recipe.toml --threads 1";
const CROSSVAL: &str = "crossval --data manifest.csv --recipe recipe.toml --threads 2";

/// The log without what depends on the clock.
fn numbers(log: &str) -> Vec<Value> {
    log.lines()
        .map(|line| {
            let mut line: Value = serde_json::from_str(line).unwrap();
            let fields = line.as_object_mut().unwrap();
            fields.remove("seconds");
            fields.remove("images_a_second");
            line
        })
        .collect()
}

#[test]
fn a_run_that_was_killed_ends_with_the_same_numbers_also_after_a_full_disk() {
    let workspace = Workspace::new(12, false);
    let longer = format!("{TRAIN} --set stages.0.epochs=3 --set stages.1.epochs=6");
    workspace.succeeds(&format!("{longer} --out whole"));
    let whole = numbers(&workspace.read("whole/metrics.jsonl"));
    let steps = |log: &[Value]| log.iter().filter(|line| line["kind"] == "step").count();
    assert_eq!(steps(&whole), 9 * 10);

    // Killed in the middle of the second epoch of each stage.
    let log_lines =
        || std::fs::read_to_string(workspace.path("cut/metrics.jsonl")).map_or(0, |log| log.lines().count());
    for lines in [11 + 4, 4 * 11 + 4] {
        let mut child = workspace.command(&format!("{longer} --out cut")).stderr(Stdio::null()).spawn().unwrap();
        let started = Instant::now();
        while log_lines() < lines && child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < Duration::from_secs(60), "nothing was logged");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!workspace.path("cut/model").exists(), "it was killed before its end");
        let checkpoint = std::fs::read(workspace.path("cut/checkpoint.safetensors")).unwrap();

        // A disk that is too full for the next checkpoint: the last one stays whole.
        let program = program_path();
        let full = Command::new("sh")
            .arg("-c")
            .arg(format!("trap '' XFSZ; ulimit -f 48; exec '{}' {longer} --out cut", program.display()))
            .current_dir(workspace.folder.path())
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&full.stderr);
        assert_eq!(full.status.code(), Some(6), "{message}");
        assert!(message.contains("checkpoint.safetensors") && message.contains("last one is kept"), "{message}");
        assert_eq!(std::fs::read(workspace.path("cut/checkpoint.safetensors")).unwrap(), checkpoint);
    }
    // What a kill in the middle of a write can leave.
    let log = workspace.read("cut/metrics.jsonl");
    workspace.write("cut/metrics.jsonl", &format!("{log}{{\"kind\":\"step\",\"st"));
    workspace.succeeds(&format!("{longer} --out cut"));
    assert_eq!(numbers(&workspace.read("cut/metrics.jsonl")), whole);
    for name in ["predictions.csv", "report.md", "model/config.json"] {
        assert_eq!(workspace.read(&format!("cut/{name}")), workspace.read(&format!("whole/{name}")), "{name}");
    }
    let names = |run: &str| {
        let entries = std::fs::read_dir(workspace.path(run)).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        // A kill in the middle of a write leaves the hidden file that was written.
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    };
    assert_eq!(names("cut"), names("whole"), "nothing is left lying about");

    // Another recipe does not go on with this run.
    workspace.refuses(&format!("{TRAIN} --set seed=8 --out cut"), 5, &["another recipe or data"]);
}

#[test]
fn a_folder_in_which_another_run_trains_is_left_to_it() {
    let workspace = Workspace::new(4, false);
    let held = annotate::files::Lock::take(&workspace.path("out")).unwrap();
    let holder = format!("process {}", std::process::id());
    workspace.refuses(&format!("{TRAIN} --out out"), 75, &["out: ", &holder, "another folder"]);
    assert!(!workspace.path("out/checkpoint.safetensors").exists() && !workspace.path("out/metrics.jsonl").exists());
    drop(held);
    workspace.succeeds(&format!("{TRAIN} --out out"));
}

#[test]
fn stages_move_what_they_say_and_heads_are_kept_replaced_or_warm() {
    let workspace = Workspace::new(8, false);
    workspace.succeeds(&format!("{TRAIN} --out base"));
    let base = workspace.tensors("base/model");
    let tune = r#"
name = "tuned"
seed = 9
batch = 8
accumulate = 2
clip_norm = 1.0
select = "last"
start = { model = "base/model", head = "HEAD" }
[[stages]]
train = "TRAIN"
epochs = 1
optimiser = { kind = "adam", learning_rate = 1e-2 }
"#;
    let tuned = |head: &str, train: &str| {
        workspace.write("recipe.toml", &tune.replace("HEAD", head).replace("TRAIN", train));
        let out = format!("{head}-{train}");
        workspace.succeeds(&format!("{TRAIN} --out {out}"));
        workspace.tensors(&format!("{out}/model"))
    };
    let is_head = |name: &&String| name.starts_with("classifier.");
    let same = |a: &BTreeMap<String, Vec<f32>>, head: bool| {
        base.keys().filter(|n| is_head(n) == head).all(|n| a[n] == base[n])
    };
    let head_only = tuned("warm_start", "head");
    assert!(same(&head_only, false), "frozen layers and their running statistics stay");
    assert!(!same(&head_only, true));
    let kept = tuned("keep", "all");
    assert!(same(&kept, true) && !same(&kept, false));
    let replaced = tuned("replace", "head");
    assert!(same(&replaced, false));
    // A step of Adam moves no weight by more than the rate; 4 batches by two make 2 and 7 images 3 at most.
    let distance = |a: &BTreeMap<String, Vec<f32>>| {
        let pairs = base["classifier.weight"].iter().zip(&a["classifier.weight"]);
        pairs.map(|(base, new)| (base - new).abs()).fold(0.0, f32::max)
    };
    assert!(
        distance(&head_only) < 0.06 && distance(&replaced) > 0.3,
        "{} {}",
        distance(&head_only),
        distance(&replaced)
    );
    let report = workspace.json("warm_start-head/report.json");
    assert_eq!(report["origin"][0], "tiny");
}

#[test]
fn a_stage_changes_pictures_in_its_own_way_where_it_says_one() {
    let workspace = Workspace::new(4, false);
    let trained = |of_all: &str, of_the_first: &str| {
        let stage = RECIPE.replacen("weight_decay = 0.01 }", &format!("weight_decay = 0.01 }}\n{of_the_first}"), 1);
        let (before, _) = stage.split_once("[augmentation]").unwrap();
        workspace.write("recipe.toml", &format!("{before}[augmentation]\n{of_all}"));
        let out = format!("run-{}", of_all.len() + of_the_first.len());
        workspace.succeeds(&format!("{TRAIN} --set stages.1.augmentation.shift=0.1 --out {out}"));
        workspace.tensors(&format!("{out}/model"))
    };
    let changes = "compression_share = 0.5, compression_quality = 10, occlusion_share = 0.5, occlusion_size = 0.5";
    let by_the_recipe = trained(&changes.replace(", ", "\n"), "");
    assert!(by_the_recipe == trained("", &format!("augmentation = {{ {changes} }}")));
    assert!(by_the_recipe != trained("flip = false", ""));
}

#[test]
fn colours_are_learnt_where_the_recipe_asks_for_them() {
    let workspace = Workspace::new(16, true);
    let colour = "--set input.colours=rgb --set input.mean=[0.5,0.5,0.5] --set input.deviation=[0.25,0.25,0.25] \
                  --set stages.0.epochs=6 --set augmentation={flip=true,saturation=0.1,cutmix=0.2}";
    workspace.succeeds(&format!("{TRAIN} {colour} --out colour"));
    assert!(workspace.accuracy("colour") > 0.8, "{}", workspace.accuracy("colour"));
    // The same with each half of the face: the network sees the other as nothing.
    workspace.succeeds(&format!("{TRAIN} {colour} --set input.region=upper --out upper"));
    assert_eq!(workspace.json("upper/model/config.json")["input"]["region"], "upper");
    assert!(workspace.accuracy("upper") > 0.7, "{}", workspace.accuracy("upper"));
}

#[test]
fn a_student_says_what_its_teacher_says_and_not_what_its_wrong_labels_say() {
    let workspace = Workspace::new(16, false);
    let plain = "--set augmentation={} --set stages.0.epochs=10";
    workspace.succeeds(&format!("{TRAIN} {plain} --out teacher"));
    assert!(workspace.accuracy("teacher") > 0.8, "{}", workspace.accuracy("teacher"));
    // Every training label becomes the next class; validation and test stay right.
    let wrong: String = workspace
        .read("manifest.csv")
        .lines()
        .map(|line| {
            let next = |name: &str| CLASSES[(CLASSES.iter().position(|c| *c == name).unwrap() + 1) % 7];
            let fields: Vec<&str> = line.split(',').collect();
            match fields[4] {
                "train" => format!("{},{},{},{},{}\n", fields[0], next(fields[1]), fields[2], fields[3], fields[4]),
                _ => format!("{line}\n"),
            }
        })
        .collect();
    workspace.write("wrong.csv", &wrong);
    let student = "train --data wrong.csv --recipe recipe.toml --threads 1 --set seed=3";
    let taught = "--set distillation={models=['teacher/model','teacher/model'],weight=1.0,temperature=2.0}";
    workspace.succeeds(&format!("{student} {plain} {taught} --out student"));
    assert!(workspace.accuracy("student") > 0.7, "{}", workspace.accuracy("student"));
    workspace.succeeds(&format!("{student} {plain} --out untaught"));
    assert!(workspace.accuracy("untaught") < 0.3, "{}", workspace.accuracy("untaught"));
}

#[test]
fn every_image_is_judged_once_by_a_model_that_has_not_seen_its_subject() {
    let workspace = Workspace::new(8, false);
    workspace.succeeds(&format!("{CROSSVAL} --folds 3 --jobs 2 --out all"));
    let (manifest, folds, predictions) =
        (workspace.read("manifest.csv"), workspace.read("all/folds.csv"), workspace.read("all/predictions.csv"));
    let count = manifest.lines().count() - 1;
    let images: std::collections::BTreeSet<&str> =
        predictions.lines().skip(1).map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!((images.len(), predictions.lines().count() - 1), (count, count));
    let subject_of: BTreeMap<&str, &str> =
        manifest.lines().skip(1).map(|l| l.split(',').collect::<Vec<_>>()).map(|f| (f[0], f[2])).collect();
    let mut fold_of: BTreeMap<&str, &str> = BTreeMap::new();
    for line in folds.lines().skip(1) {
        let (image, fold) = line.split_once(',').unwrap();
        assert_eq!(*fold_of.entry(subject_of[image]).or_insert(fold), fold, "a subject is in one fold");
    }
    let report = workspace.json("all/report.json");
    assert_eq!(report["pooled"]["metrics"]["images"], count);
    let accuracy = &report["over_folds"][0];
    let values: Vec<f64> = accuracy["values"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
    let mean = values.iter().sum::<f64>() / 3.0;
    let sd = (values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / 2.0).sqrt();
    assert!((accuracy["mean"].as_f64().unwrap() - mean).abs() < 1e-12);
    assert!((accuracy["sd"].as_f64().unwrap() - sd).abs() < 1e-12);
    let html = workspace.read("all/report.html");
    assert!(html.matches("<svg").count() >= 5 && !html.contains("<script") && !html.contains("http-equiv=\"refresh"));

    // One after the other, as jobs of their own, in another order: the same. The last one pools.
    workspace.refuses(&format!("{CROSSVAL} --folds 3 --pool --out alone"), 3, &["fold 1 is not finished", "--fold 1"]);
    for fold in [3, 1, 2] {
        assert!(!workspace.path("alone/report.json").exists());
        workspace.succeeds(&format!("{CROSSVAL} --folds 3 --fold {fold} --out alone"));
    }
    for name in ["predictions.csv", "report.json", "folds.csv"] {
        assert_eq!(workspace.read(&format!("alone/{name}")), workspace.read(&format!("all/{name}")), "{name}");
    }
    workspace.refuses(&format!("{CROSSVAL} --folds 3 --set seed=8 --pool --out all"), 5, &["another recipe"]);
    workspace.refuses(&format!("{CROSSVAL} --folds 3 --fold 4 --out all"), 2, &["no fold 4"]);

    // The manifest's own folds.
    let own: String = manifest
        .lines()
        .enumerate()
        .map(|(line, text)| if line == 0 { format!("{text},fold\n") } else { format!("{text},{}\n", 1 + line % 2) })
        .collect();
    workspace.write("own.csv", &own);
    let (_, told) = workspace.succeeds("crossval --data own.csv --recipe recipe.toml --threads 2 --out own");
    assert!(told.contains("have images in several folds"), "{told}");
    assert_eq!(workspace.json("own/report.json")["folds"].as_array().unwrap().len(), 2);
}

#[test]
fn a_grid_prints_its_recipes_beside_the_published_numbers() {
    let workspace = Workspace::new(6, false);
    std::fs::create_dir(workspace.path("grid")).unwrap();
    let shorter = RECIPE.replace("epochs = 2", "epochs = 1");
    workspace.write("grid/1-plain.toml", &shorter.replace("\"tiny\"", "\"plain\""));
    workspace.write("grid/2-flat.toml", &shorter.replace("\"tiny\"", "\"<b>flat</b>\"").replace("1e-2", "1e-9"));
    workspace
        .write("grid/published.csv", "recipe,accuracy,folds_accuracy,folds_accuracy_sd\n1-plain,67.06,62.37,3.23\n");
    let grid = "train --grid grid --data manifest.csv --folds 2 --threads 2 --out table";
    let (table, _) = workspace.succeeds(grid);
    let line = table.lines().find(|line| line.trim_start().starts_with("plain")).unwrap();
    assert!(line.contains("67.06") && line.contains("62.37 ± 3.23"), "{table}");
    let report = workspace.json("table/report.json");
    assert_eq!(report.as_array().unwrap().len(), 2);
    assert!(report[0]["against_first"].is_null() && report[1]["against_first"]["p_value"].is_number());
    assert!(table.contains("Against plain on the same images"), "{table}");
    assert!(!workspace.read("table/report.html").contains("<b>flat"));
    // What is finished is not done again.
    let started = Instant::now();
    assert_eq!(workspace.succeeds(grid).0, table);
    assert!(workspace.path("table/1-plain/fold-1/fold.json").exists(), "{:?}", started.elapsed());
}

#[test]
fn a_model_is_measured_against_another_and_on_worse_pictures() {
    let workspace = Workspace::new(8, false);
    workspace.succeeds(&format!("{TRAIN} --set stages.0.epochs=6 --out run"));
    let evaluate = "evaluate --model run/model --data manifest.csv";
    workspace.succeeds(&format!("{evaluate} --out plain"));
    assert_eq!(workspace.read("plain/predictions.csv"), workspace.read("run/predictions.csv"));
    let (_, told) = workspace.succeeds(&format!("{evaluate} --against run/predictions.csv --out again"));
    assert!(told.contains("p = 1.000"), "{told}");
    let again = workspace.json("again/report.json");
    assert_eq!((again["against"]["only_first"].as_u64(), again["against"]["p_value"].as_f64()), (Some(0), Some(1.0)));
    assert_eq!(again["prior_corrected"].as_array().unwrap().len(), 2);
    workspace.succeeds(&format!("{evaluate} --degrade downsample4 --out worse"));
    assert_ne!(workspace.read("worse/predictions.csv"), workspace.read("plain/predictions.csv"));
    assert_eq!(workspace.json("worse/report.json")["degradation"], "downsample4");
    workspace.write(
        "less.csv",
        &workspace.read("run/predictions.csv").lines().take(5).map(|l| format!("{l}\n")).collect::<String>(),
    );
    workspace.refuses(&format!("{evaluate} --against less.csv --out x"), 3, &["less.csv", "no prediction for"]);
}

#[test]
fn data_that_cannot_be_trained_on_is_refused_by_row() {
    let workspace = Workspace::new(4, false);
    let good = workspace.read("manifest.csv");
    let with = |text: &str| workspace.write("manifest.csv", text);
    let train = format!("{TRAIN} --out run");
    with(&good.replacen("train-neutral-1.png", "absent.png", 1));
    workspace.refuses(&train, 3, &["row 2", "absent.png"]);
    with(&good);
    let picture = std::fs::read(workspace.path("train-happiness-0.png")).unwrap();
    std::fs::write(workspace.path("train-happiness-0.png"), &picture[..picture.len() / 2]).unwrap();
    workspace.refuses(&train, 3, &["row 5", "train-happiness-0.png"]);
    std::fs::write(workspace.path("train-happiness-0.png"), picture).unwrap();
    with(&good.replacen(",fear,", ",joy,", 1));
    workspace.refuses(&train, 3, &["line", "joy"]);
    let one_class: String =
        good.lines().filter(|l| !l.contains("train-") || l.contains("anger")).map(|l| format!("{l}\n")).collect();
    with(&one_class);
    workspace.refuses(&format!("{train} --set batch=4"), 3, &["single class, 'anger'"]);
    with(&good.lines().filter(|l| !l.contains("validation")).map(|l| format!("{l}\n")).collect::<String>());
    workspace.refuses(&train, 3, &["no validation image", "annotate data split"]);
    workspace.refuses(&format!("{train} --folds 2"), 2, &[]);
    with(&good);
    workspace.refuses(&format!("{TRAIN} --set batch=64 --out run"), 3, &["28 training images", "batch of 64"]);
    workspace.refuses(&format!("{CROSSVAL} --folds 12 --out cv"), 3, &["7 of kind 'subject'", "12 parts"]);
    workspace.refuses(&format!("{CROSSVAL} --folds 1 --out cv"), 2, &["at least 2"]);
    workspace.refuses(
        &format!("{TRAIN} --set stages.0.optimiser={{kind='sgd',learning_rate=1e38}} --out nan"),
        5,
        &["step", "epoch 1"],
    );
    workspace.refuses(&format!("{TRAIN} --set start.modle=x --out run"), 5, &["recipe.toml", "modle"]);
    workspace.refuses(&format!("{TRAIN} --set architecture.stem_channels=0 --out run"), 5, &["0"]);
    assert!(!workspace.path("run/model").exists());
}

#[test]
fn a_class_that_is_absent_from_a_fold_is_said_and_left_out_of_means() {
    let workspace = Workspace::new(6, false);
    // Disgust is shown by one subject only, so it is in one fold.
    let manifest: String = workspace
        .read("manifest.csv")
        .lines()
        .filter(|line| !line.contains("disgust") || line.contains(",train-0,"))
        .map(|line| format!("{line}\n"))
        .collect();
    workspace.write("manifest.csv", &manifest);
    let (_, told) = workspace.succeeds(&format!("{CROSSVAL} --folds 2 --set stages.0.epochs=1 --out cv"));
    assert!(
        told.contains("no test image shows 'disgust'") && told.contains("no training image shows 'disgust'"),
        "{told}"
    );
    let report = workspace.json("cv/report.json");
    assert!(report["notes"].as_array().unwrap().len() >= 2);
    assert!(Path::new(&workspace.path("cv/fold-1/report.html")).exists());
}

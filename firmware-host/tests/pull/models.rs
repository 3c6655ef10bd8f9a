//! From a checkpoint on a server to a bundle in the cache.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;

use cutout::cache::Cache;
use cutout::download::{Downloader, Retry};
use cutout::progress::Progress;
use cutout::pull::{PullOptions, Pulled, Puller};
use cutout_models::checkpoint::Dtype;
use cutout_models::digest::sha256;
use cutout_models::registry::CUTOUT_S;
use cutout_models::{Bundle, Checksum, Download, ModelSpec, Precision, Source, standin};

use crate::server::{Answer, Server, entries};

/// A complete checkpoint: stand-in weights of the shipped model's names and shapes.
pub(crate) static CHECKPOINT: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let shipped = Bundle::shipped().unwrap();
    let of = shipped.weights();
    let weights = standin::state_dict(of.names().map(|n| (n, of.get(n).unwrap().shape())), 1);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("checkpoint");
    weights.write_safetensors(Dtype::F32, &path).unwrap();
    fs::read(path).unwrap()
});

/// What the registry would say of a model whose checkpoint has this content.
fn spec(content: &[u8], checksum: Checksum) -> ModelSpec {
    let source = Source::Download(Download {
        url: "http://127.0.0.1:9/unreachable/weights.pt",
        file_name: "weights.pt",
        bytes: content.len() as u64,
        checksum,
    });
    ModelSpec { name: "test-model", source, ..CUTOUT_S }
}

pub(crate) fn known(content: &[u8]) -> ModelSpec {
    let hex = Box::leak(sha256(content).into_boxed_str());
    spec(content, Checksum::Sha256 { hex, recorded_by: "this test" })
}

struct Fixture {
    folder: tempfile::TempDir,
    server: Server,
}

impl Fixture {
    /// A server that has `content`, and an empty cache.
    fn serving(content: &[u8]) -> Self {
        let content = content.to_vec();
        let server = Server::start(move |_, asked| Answer::good(asked, &content, "\"v1\""));
        Fixture { folder: tempfile::tempdir().unwrap(), server }
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn options(&self) -> PullOptions {
        PullOptions { mirror: Some(self.server.url("")), ..PullOptions::default() }
    }

    fn pull(&self, spec: &ModelSpec, options: &PullOptions) -> anyhow::Result<Pulled> {
        self.pull_with_free(spec, options, |_| None)
    }

    fn pull_with_free(
        &self,
        spec: &ModelSpec,
        options: &PullOptions,
        free: fn(&Path) -> Option<u64>,
    ) -> anyhow::Result<Pulled> {
        let retry = Retry { attempts: 2, first_pause: Duration::from_millis(1) };
        let downloader = Downloader::new(retry, Duration::from_secs(5));
        Puller::with(Cache::at(self.root()), downloader, free).pull(spec, options, &Progress::silent())
    }

    fn assert_nothing_kept(&self) {
        assert_eq!(entries(&self.root().join("models")), [""; 0]);
        assert_eq!(entries(&self.root().join("downloads")), [""; 0]);
    }
}

fn new(pulled: Pulled) -> (Bundle, bool) {
    match pulled {
        Pulled::New { bundle, verified } => (bundle, verified),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_model_is_pulled_once_and_verified() {
    let f = Fixture::serving(&CHECKPOINT);
    let spec = known(&CHECKPOINT);
    let (bundle, verified) = new(f.pull(&spec, &f.options()).unwrap());
    assert!(verified);
    assert_eq!(bundle.manifest().precision, Precision::F16);
    assert_eq!(bundle.manifest().source.sha256.as_deref(), Some(sha256(&CHECKPOINT).as_str()));
    assert_eq!(entries(&f.root().join("models/test-model")), ["manifest.json", "weights.safetensors"]);
    assert_eq!(entries(&f.root().join("downloads")), [""; 0]);
    Bundle::open(&f.root().join("models/test-model")).unwrap().verify().unwrap();

    let again = f.pull(&spec, &f.options()).unwrap();
    assert!(matches!(&again, Pulled::AlreadyThere(there) if there.id() == bundle.id()), "{again:?}");
    assert_eq!(f.server.asked().len(), 1);
    assert_eq!(f.server.asked()[0].path, "/weights.pt");
}

#[test]
fn another_precision_is_pulled_anew_unless_the_checkpoint_was_kept() {
    let f = Fixture::serving(&CHECKPOINT);
    let spec = known(&CHECKPOINT);
    new(f.pull(&spec, &PullOptions { keep: true, ..f.options() }).unwrap());
    assert_eq!(entries(&f.root().join("downloads")), ["weights.pt"]);
    let exact = PullOptions { precision: Some(Precision::F32), ..f.options() };
    let (bundle, verified) = new(f.pull(&spec, &exact).unwrap());
    assert!(verified);
    assert_eq!(bundle.manifest().precision, Precision::F32);
    assert_eq!(f.server.asked().len(), 1, "the kept checkpoint was not used");

    // Without a wish, a forced pull keeps the earlier choice.
    let (bundle, _) = new(f.pull(&spec, &PullOptions { force: true, ..f.options() }).unwrap());
    assert_eq!(bundle.manifest().precision, Precision::F32);
    assert_eq!(f.server.asked().len(), 2);
}

#[test]
fn a_file_serves_where_there_is_no_network() {
    let f = Fixture::serving(&[]);
    let file = f.folder.path().join("mine.pt");
    fs::write(&file, &*CHECKPOINT).unwrap();
    let options = PullOptions { from: Some(file.clone()), ..PullOptions::default() };
    let (_, verified) = new(f.pull(&known(&CHECKPOINT), &options).unwrap());
    assert!(verified && file.exists());
    assert!(f.server.asked().is_empty());
}

#[test]
fn a_wrong_file_is_refused_and_stays() {
    let f = Fixture::serving(&[]);
    let file = f.folder.path().join("mine.pt");
    let mut other = CHECKPOINT.clone();
    let last = other.len() - 1;
    other[last] ^= 1;
    fs::write(&file, &other).unwrap();
    let options = PullOptions { from: Some(file.clone()), ..PullOptions::default() };
    let message = format!("{:#}", f.pull(&known(&CHECKPOINT), &options).unwrap_err());
    assert!(message.contains(&sha256(&CHECKPOINT)) && message.contains(&sha256(&other)), "{message}");
    fs::write(&file, &other[..1000]).unwrap();
    let message = format!("{:#}", f.pull(&known(&CHECKPOINT), &options).unwrap_err());
    assert!(message.contains("1000 bytes") && message.contains(&CHECKPOINT.len().to_string()), "{message}");
    assert!(file.exists());
    f.assert_nothing_kept();
}

#[test]
fn without_a_known_hash_a_model_is_pulled_and_called_unverified() {
    let f = Fixture::serving(&CHECKPOINT);
    let spec = spec(&CHECKPOINT, Checksum::Unverified);
    assert!(spec.download().unwrap().checksum.to_string().starts_with("unverified"));
    let (bundle, verified) = new(f.pull(&spec, &f.options()).unwrap());
    assert!(!verified && !bundle.manifest().source.verified);
}

#[test]
fn a_file_of_the_right_hash_that_is_no_checkpoint_leaves_nothing() {
    let junk = vec![7; 5000];
    let f = Fixture::serving(&junk);
    let message = format!("{:#}", f.pull(&known(&junk), &f.options()).unwrap_err());
    assert!(message.contains("not a checkpoint of"), "{message}");
    f.assert_nothing_kept();
}

#[test]
fn a_failed_pull_leaves_an_earlier_model_alone() {
    let f = Fixture::serving(&CHECKPOINT);
    let (bundle, _) = new(f.pull(&known(&CHECKPOINT), &f.options()).unwrap());
    let lies = vec![7; CHECKPOINT.len()];
    let force = PullOptions { force: true, ..f.options() };
    f.pull(&known(&lies), &force).unwrap_err();
    let kept = Bundle::open(&f.root().join("models/test-model")).unwrap();
    kept.verify().unwrap();
    assert_eq!(kept.id(), bundle.id());
    assert_eq!(entries(&f.root().join("downloads")), [""; 0]);
}

#[test]
fn a_disk_that_is_too_full_is_told_before_anything_is_fetched() {
    let f = Fixture::serving(&CHECKPOINT);
    let error = f.pull_with_free(&known(&CHECKPOINT), &f.options(), |_| Some(1_000_000)).unwrap_err();
    let message = error.to_string();
    assert!(message.contains("1.0 MB are free") && message.contains("CUTOUT_CACHE"), "{message}");
    assert!(f.server.asked().is_empty());
    f.assert_nothing_kept();
    f.pull_with_free(&known(&CHECKPOINT), &f.options(), |_| Some(1_000_000_000)).unwrap();
}

#[test]
fn two_pulls_at_once_download_once() {
    let f = Fixture::serving(&CHECKPOINT);
    let spec = known(&CHECKPOINT);
    std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..3).map(|_| scope.spawn(|| f.pull(&spec, &f.options()).unwrap())).collect();
        let pulled: Vec<_> = pulls.into_iter().map(|p| p.join().unwrap()).collect();
        assert_eq!(pulled.iter().filter(|p| matches!(p, Pulled::New { .. })).count(), 1);
    });
    assert_eq!(f.server.asked().len(), 1);
}

#[test]
fn a_damaged_model_and_leftovers_of_a_killed_pull_are_replaced() {
    let f = Fixture::serving(&CHECKPOINT);
    let models = f.root().join("models");
    fs::create_dir_all(models.join(".test-model.new-1-0")).unwrap();
    fs::write(models.join(".test-model.new-1-0/weights.safetensors"), "half").unwrap();
    fs::create_dir_all(models.join("test-model")).unwrap();
    fs::write(models.join("test-model/manifest.json"), "{").unwrap();
    new(f.pull(&known(&CHECKPOINT), &f.options()).unwrap());
    assert_eq!(entries(&models), ["test-model"]);
    Bundle::open(&models.join("test-model")).unwrap().verify().unwrap();
}

#[test]
fn the_shipped_model_needs_no_pull() {
    let f = Fixture::serving(&[]);
    assert!(matches!(f.pull(&CUTOUT_S, &f.options()).unwrap(), Pulled::BuiltIn));
}

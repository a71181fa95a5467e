//! The jars of Apache Kafka.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};

use crate::java::{self, JAVA, MAVEN};

const POM: &str = include_str!("../kafka/pom.xml");
const LOG4J: &str = include_str!("../kafka/log4j.properties");

/// The jars of a runnable Apache Kafka, in a folder.
#[derive(Clone, Debug)]
pub struct Jars {
    folder: PathBuf,
    log4j: PathBuf,
}

impl Jars {
    /// Finds out whether Java and Maven are there, which all of this needs.
    ///
    /// # Errors
    /// One is not, or is too old; it says what to install.
    pub fn can_be_had() -> Result<()> {
        java::look()
    }

    /// Collects the jars below a folder, if they are not there yet: some 60 MB, through Maven.
    ///
    /// # Errors
    /// They cannot be fetched.
    pub fn fetch(below: &Path) -> Result<Self> {
        let (folder, log4j) = (below.join(version()), below.join("log4j.properties"));
        fs::create_dir_all(below).with_context(|| format!("create {}", below.display()))?;
        write(&log4j, LOG4J)?;
        if !folder.is_dir() {
            java::look()?;
            let pom = below.join("pom.xml");
            write(&pom, POM)?;
            // A folder that is there is complete: it is named when Maven is done.
            let fresh = below.join(format!("fresh-{}", std::process::id()));
            let fetched = Command::new(MAVEN)
                .args(["--batch-mode", "--quiet", "--file"])
                .arg(&pom)
                .arg("dependency:copy-dependencies")
                .arg(format!("-DoutputDirectory={}", fresh.display()))
                .stdin(Stdio::null())
                .stdout(Stdio::from(std::io::stderr()))
                .status()
                .context("start Maven")?;
            if !fetched.success() {
                bail!("Maven could not fetch Apache Kafka: {fetched}");
            }
            // Another process may have been quicker; its jars are as good.
            if let Err(error) = fs::rename(&fresh, &folder)
                && !folder.is_dir()
            {
                return Err(error).with_context(|| format!("name {}", folder.display()));
            }
            drop(fs::remove_dir_all(&fresh));
        }
        Ok(Self { folder, log4j })
    }

    /// A Java program of Kafka's, such as `kafka.Kafka`.
    pub fn program(&self, class: &str, options: &[&str]) -> Command {
        let mut command = Command::new(JAVA);
        command
            .args(options)
            .arg(format!("-Dlog4j.configuration=file:{}", self.log4j.display()))
            .arg("-cp")
            .arg(self.folder.join("*"))
            .arg(class)
            .stdin(Stdio::null());
        command
    }
}

/// As the jars' folder is called: another version has another, and so has another list of jars.
fn version() -> String {
    let tagged = POM.split_once("<kafka.version>").and_then(|(_, rest)| rest.split_once('<'));
    let version = tagged.map_or("unknown", |(version, _)| version);
    format!("kafka-{version}-{}", POM.matches("<dependency>").count())
}

fn write(path: &Path, text: &str) -> Result<()> {
    if fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_folder_is_named_after_what_is_in_it() {
        assert_eq!(super::version(), "kafka-3.9.1-6");
    }
}

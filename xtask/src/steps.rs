//! The steps of a command: each has a name, a time and an outcome, and the first that fails ends it.

use std::io::Write as _;
use std::time::{Duration, Instant};

/// The step that failed, and why.
pub struct Failed {
    pub step: String,
    pub reason: String,
}

/// The steps done so far, with their times.
#[derive(Default)]
pub struct Steps {
    done: Vec<(String, Duration, bool)>,
}

impl Steps {
    pub fn run<T>(
        &mut self,
        name: &str,
        step: impl FnOnce() -> Result<T, String>,
    ) -> Result<T, Failed> {
        println!("\n==> {name}");
        let start = Instant::now();
        let result = step();
        let time = start.elapsed();
        let outcome = if result.is_ok() { "ok" } else { "FAILED" };
        println!("==> {name}: {outcome}, {:.1} s", time.as_secs_f64());
        self.done.push((name.to_owned(), time, result.is_ok()));
        result.map_err(|reason| Failed {
            step: name.to_owned(),
            reason,
        })
    }

    pub fn summary(&self) {
        println!("\n==> summary");
        for (name, time, ok) in &self.done {
            let outcome = if *ok { "ok" } else { "FAILED" };
            println!("{:>9.1} s  {outcome:<6}  {name}", time.as_secs_f64());
        }
        let total: Duration = self.done.iter().map(|(_, time, _)| *time).sum();
        println!("{:>9.1} s  total", total.as_secs_f64());
        // The reason of a failure goes to the other stream, after this.
        std::io::stdout().flush().ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_stop_with_the_name_and_the_reason() {
        let mut steps = Steps::default();
        assert_eq!(steps.run("first", || Ok(1)).ok(), Some(1));
        let failed = steps.run("second", || Err::<(), _>("a reason".to_owned()));
        let failed = failed.expect_err("the step fails");
        assert_eq!((&*failed.step, &*failed.reason), ("second", "a reason"));
        let outcomes: Vec<bool> = steps.done.iter().map(|(_, _, ok)| *ok).collect();
        assert_eq!(outcomes, [true, false]);
    }
}

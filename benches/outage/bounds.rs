//! What was to be held, and what was not.

/// The bounds of a run. A run that misses one says so, and fails.
#[derive(Debug, Default)]
pub struct Bounds(Vec<String>);

impl Bounds {
    pub fn at_most(&mut self, what: &str, value: f64, bound: f64) {
        // What could not be measured is not held either.
        let held = value <= bound;
        println!("{}: {what}: {value:.2}, at most {bound:.2}", if held { "held" } else { "MISSED" });
        if !held {
            self.missed(format!("{what}: {value:.2} > {bound:.2}"));
        }
    }

    pub fn missed(&mut self, what: String) {
        self.0.push(what);
    }

    /// All that was missed.
    pub fn all_missed(self) -> Vec<String> {
        self.0
    }
}

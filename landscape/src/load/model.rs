//! What was asked of each product, and what has been seen of it: a few bytes each, so that a million fit anywhere.

use super::composite::{List, Shape, Shown};
use super::fault::{Fault, Kind};
use super::options::{Mix, Share};
use fastrand::Rng;

/// How far a product has come: 0 before it was ever there, 1 as version 1, 2 deleted, 3 as version 2, 4 deleted again.
pub(super) type Step = u8;

/// No product is written more often than this, so that steps fit.
const LAST: Step = 250;
/// Half of the looks go to products that were written lately, where something still happens.
const LATELY: usize = 1000;
/// How often a product is drawn until one is found that will do.
const DRAWS: usize = 16;

/// The version that is there at a step, or was there last.
pub(super) fn version(step: Step) -> u8 {
    step.div_ceil(2)
}

/// Whether the product is there at a step.
pub(super) fn present(step: Step) -> bool {
    step % 2 == 1
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Task {
    Write(Write),
    Read(i32),
}

/// The request that brings a product to a step: a POST where it is there then, else a DELETE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Write {
    pub(super) id: i32,
    pub(super) step: Step,
    /// The step before, if its request is repeated under its `Idempotency-Key` as soon as this one is accepted: done again
    /// now, it would undo this one.
    pub(super) repeated: Option<Step>,
}

/// The least step at which the product, its recommendations and its reviews can be, from what was seen.
pub(super) type Seen = [Step; 3];

#[derive(Debug, Clone, Copy, Default)]
struct Product {
    asked: Step,
    seen: Seen,
    /// A write is under way: the next one waits for its answer, so that their order is known.
    busy: bool,
    /// Nobody knows whether the last write took effect.
    doubtful: bool,
    /// It broke a promise, and was named.
    blamed: bool,
    /// The last write is to be repeated behind the next one.
    repeat: bool,
}

#[derive(Debug)]
pub(super) struct Model {
    shape: Shape,
    mix: Mix,
    duplicate: Share,
    /// How many composites are still to be written.
    left: u32,
    products: Vec<Product>,
    random: Rng,
}

impl Model {
    pub(super) fn new(shape: Shape, composites: u32, mix: Mix, duplicate: Share) -> Self {
        let random = Rng::with_seed(u64::from(shape.run.unsigned_abs()));
        Self { shape, mix, duplicate, left: composites, products: Vec::new(), random }
    }

    /// How many different products there were.
    pub(super) fn len(&self) -> usize {
        self.products.len()
    }

    /// Writes nothing more.
    pub(super) fn stop(&mut self) {
        self.left = 0;
    }

    pub(super) fn is_done(&self) -> bool {
        self.left == 0
    }

    /// Draws what to do next; nothing when all composites are written.
    pub(super) fn next(&mut self) -> Option<Task> {
        if self.is_done() {
            return None;
        }
        let Mix { creates, deletes, reads } = self.mix;
        let drawn = self.random.u32(0..creates + deletes + reads);
        let found = if drawn < creates {
            None
        } else if drawn < creates + deletes {
            self.draw(|product| product.is_free() && present(product.asked)).map(|at| self.write(at))
        } else {
            self.draw(|_| true).map(|at| Task::Read(self.id(at)))
        };
        // Where there is nothing yet to delete or to read, there has to be something.
        Some(found.unwrap_or_else(|| self.create()))
    }

    /// The write under way is over; it is `doubtful` where nobody knows whether it was accepted.
    pub(super) fn settle(&mut self, id: i32, doubtful: bool) {
        if let Some(product) = self.get(id) {
            product.busy = false;
            product.doubtful |= doubtful;
        }
    }

    /// What is known before a look; the look may show no less.
    pub(super) fn known(&mut self, id: i32) -> Seen {
        self.get(id).map_or_else(Seen::default, |product| product.seen)
    }

    /// The latest version that was asked for.
    pub(super) fn newest(&mut self, id: i32) -> u8 {
        self.get(id).map_or(0, |product| version(product.asked))
    }

    /// Takes what a look showed, or names what it breaks, once for each product.
    pub(super) fn saw(&mut self, id: i32, before: Seen, shown: &Result<Shown, Fault>) -> Option<Fault> {
        let product = self.get(id)?;
        let fault = match shown {
            Ok(shown) => match judge(product.asked, before, shown) {
                Ok(seen) => {
                    for (known, seen) in product.seen.iter_mut().zip(seen) {
                        *known = seen.max(*known);
                    }
                    return None;
                }
                Err(fault) => fault,
            },
            Err(Fault { kind, sentence }) => Fault::new(*kind, sentence.clone()),
        };
        self.blame(id, fault)
    }

    /// Gives the fault back, unless this product has been named for one.
    pub(super) fn blame(&mut self, id: i32, fault: Fault) -> Option<Fault> {
        let product = self.get(id)?;
        (!std::mem::replace(&mut product.blamed, true)).then_some(fault)
    }

    /// Whether it has been named for a fault.
    pub(super) fn is_blamed(&mut self, id: i32) -> bool {
        self.get(id).is_some_and(|product| product.blamed)
    }

    /// What is missing from what was asked for last; nothing where it is not known what was accepted.
    pub(super) fn missing(&mut self, id: i32, shown: &Shown) -> Option<Fault> {
        let shape = self.shape;
        let product = self.get(id)?;
        if product.doubtful { None } else { missing(&shape, product.asked, shown) }
    }

    fn create(&mut self) -> Task {
        self.left -= 1;
        let deleted = |product: &Product| product.is_free() && !present(product.asked) && product.asked < LAST;
        // What was deleted comes back as often as something new comes.
        let again = if self.random.bool() { self.draw(deleted) } else { None };
        let at = again.unwrap_or_else(|| {
            self.products.push(Product::default());
            self.products.len() - 1
        });
        self.write(at)
    }

    fn write(&mut self, at: usize) -> Task {
        let repeat = self.random.f64() < self.duplicate.0;
        let id = self.id(at);
        let product = &mut self.products[at];
        let repeated = std::mem::replace(&mut product.repeat, repeat).then_some(product.asked);
        product.asked += 1;
        product.busy = true;
        Task::Write(Write { id, step: product.asked, repeated })
    }

    fn draw(&mut self, will_do: impl Fn(&Product) -> bool) -> Option<usize> {
        let all = self.products.len();
        for _ in 0..DRAWS.min(all) {
            let from = if self.random.bool() { all.saturating_sub(LATELY) } else { 0 };
            let at = self.random.usize(from..all);
            if will_do(&self.products[at]) {
                return Some(at);
            }
        }
        None
    }

    fn id(&self, at: usize) -> i32 {
        self.shape.run + i32::try_from(at).unwrap_or(i32::MAX)
    }

    fn get(&mut self, id: i32) -> Option<&mut Product> {
        self.products.get_mut(usize::try_from(id - self.shape.run).ok()?)
    }
}

impl Product {
    fn is_free(&self) -> bool {
        !self.busy && !self.doubtful
    }
}

/// What is known after a look that shows this, or the promise that it breaks: nothing goes back.
fn judge(asked: Step, before: Seen, shown: &Shown) -> Result<Seen, Fault> {
    let stale = |sentence| Err(Fault::new(Kind::Stale, sentence));
    match shown {
        // A list that is empty may be one that could not be read.
        Shown::Gone if asked - asked % 2 < before[0] => {
            stale(format!("it is gone after version {} was seen, and nobody deleted it", version(before[0])))
        }
        Shown::Gone => Ok([before[0] + before[0] % 2, before[1], before[2]]),
        Shown::There { product, recommendations, reviews } => {
            let versions = [Some(*product), recommendations.version, reviews.version];
            let mut seen = before;
            for (part, (name, version)) in ["product", "recommendations", "reviews"].iter().zip(versions).enumerate() {
                let Some(step) = version.map(|version| 2 * version - 1) else { continue };
                if step < before[part] {
                    return stale(format!("its {name} went back to {} after {}", said(step), said(before[part])));
                }
                seen[part] = step;
            }
            Ok(seen)
        }
    }
}

fn said(step: Step) -> String {
    if present(step) { format!("version {}", version(step)) } else { format!("version {} was gone", version(step)) }
}

/// What is missing from this step when everything has had its time.
fn missing(shape: &Shape, asked: Step, shown: &Shown) -> Option<Fault> {
    let newest = version(asked);
    match shown {
        Shown::Gone if present(asked) => Some(Fault::new(Kind::Lost, "GET answers 404 Not Found".to_owned())),
        Shown::Gone => None,
        Shown::There { .. } if !present(asked) => {
            Some(Fault::new(Kind::Stale, "it is there, and was deleted".to_owned()))
        }
        shown if *shown == Shown::complete(shape, newest) => None,
        Shown::There { product, recommendations, reviews } => {
            let versions = [Some(*product), recommendations.version, reviews.version];
            if let Some(old) = versions.into_iter().flatten().find(|version| *version < newest) {
                return Some(Fault::new(Kind::Stale, format!("version {old} is there, and {newest} was written")));
            }
            let list = |list: &List| format!("{} of {}", list.found, list.of);
            let sentence = format!("{} recommendations, {} reviews", list(recommendations), list(reviews));
            Some(Fault::new(Kind::Lost, sentence))
        }
    }
}

#[cfg(test)]
mod tests;

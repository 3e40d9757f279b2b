//! The terminal room: rows V01 to V06 and S01, S02 of the catalogue of faults.

mod answers;
mod fidelity;
mod filtering;
mod fuzz;
pub mod hostile;
mod replay;
mod traces;

use std::sync::Once;

use podbay::bay::session::TermSize;
use podbay::terminal::emulator::Emulator;

/// Panics that the emulator contains are not printed.
pub fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !podbay::terminal::panic_is_contained() {
                usual(panic);
            }
        }));
    });
}

pub fn emulator() -> Emulator {
    quiet();
    Emulator::new(TermSize::default(), 200)
}

/// A small generator of numbers that a seed repeats.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 11).unwrap_or(0) % sides.max(1)
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from.get(self.roll(from.len())).unwrap()
    }

    pub fn one<T: Copy>(&mut self, from: &[T]) -> T {
        *from.get(self.roll(from.len())).unwrap()
    }
}

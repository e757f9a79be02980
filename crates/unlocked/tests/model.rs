//! Reads beside PostgreSQL's changes of a buffer, in every order of loads and stores that a processor allows.
//!
//! The model is a buffer with a tag of two words, a state and a page of one word. A writer takes the steps of bufmgr.c with
//! their barriers; these say which store must be seen before which. A reader is the code of this crate, run once to learn its
//! loads and fences, then again for all values that its loads can have. The processors modelled show a store to all others
//! at once, as x86 and 64-bit ARM do. Each test lists all outcomes: one that no longer happens fails it too.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeSet, HashSet};

use unlocked::{Buffer, read, state_of};

/// The words of a buffer, as indexes.
const TAG: [usize; 2] = [0, 1];
const STATE: usize = 2;
const PAGE: usize = 3;
type Memory = [u32; 4];

const VALID: u32 = 1;
const LOCKED: u32 = 2;

/// The tag that readers want, another one, two whose halves make up the first, and that of an empty buffer.
const WANTED: [u32; 2] = [1, 1];
const OTHER: [u32; 2] = [2, 2];
const FIRST_HALF: [u32; 2] = [1, 3];
const SECOND_HALF: [u32; 2] = [3, 1];
const NO_PAGE: [u32; 2] = [0, 0];

/// A buffer that holds a page; the bytes are the first word of the tag.
fn holding(tag: [u32; 2]) -> Memory {
    [tag[0], tag[1], VALID, tag[0]]
}

/// The order of an eviction's steps.
#[derive(Clone, Copy)]
enum Eviction {
    /// Until 15: the new tag is written over the old one (`BufferAlloc`).
    Overwrites,
    /// From 16: the old tag and the flags are cleared first, under a lock of their own (`InvalidateVictimBuffer`).
    Clears,
}

/// How an atomic change of the state orders the stores after it. Stores before it are always seen before it.
#[derive(Clone, Copy)]
enum Processor {
    /// It is seen before them (x86).
    Full,
    /// They may be seen first (64-bit ARM).
    AcquireRelease,
}

const EVICTIONS: [Eviction; 2] = [Eviction::Overwrites, Eviction::Clears];
const PROCESSORS: [Processor; 2] = [Processor::Full, Processor::AcquireRelease];

/// Bits of a list's items.
type Set = u32;

struct Store {
    word: usize,
    value: u32,
    /// The stores that are seen before it.
    after: Set,
}

/// Stores of one process after another, each of which has waited for the lock of the descriptor.
struct Writer {
    eviction: Eviction,
    processor: Processor,
    memory: Memory,
    stores: Vec<Store>,
    /// The stores that are seen before all later ones.
    barrier: Set,
}

impl Writer {
    fn all(&self) -> Set {
        (1 << self.stores.len()) - 1
    }

    fn store(&mut self, word: usize, value: u32) {
        let earlier = self.stores.iter().enumerate();
        let same_word = earlier.filter(|(_, store)| store.word == word);
        let after = same_word.fold(self.barrier, |set, (i, _)| set | 1 << i);
        self.stores.push(Store { word, value, after });
        self.memory[word] = value;
    }

    /// `LockBufHdr`: an atomic change.
    fn lock(&mut self) {
        let after = self.all();
        self.store(STATE, self.memory[STATE] | LOCKED);
        if let Some(store) = self.stores.last_mut() {
            store.after = after;
        }
        if matches!(self.processor, Processor::Full) {
            self.barrier = self.all();
        }
    }

    /// `UnlockBufHdr`: a write barrier, then the new state.
    fn unlock(&mut self, state: u32) {
        self.barrier = self.all();
        self.store(STATE, state);
    }

    fn set_tag(&mut self, tag: [u32; 2]) {
        for (word, value) in TAG.into_iter().zip(tag) {
            self.store(word, value);
        }
    }

    /// Gives the buffer to another page, then reads that page's bytes (`TerminateBufferIO` sets the flag).
    fn replace_by(&mut self, tag: [u32; 2]) {
        self.lock();
        if matches!(self.eviction, Eviction::Clears) {
            self.set_tag(NO_PAGE);
            self.unlock(0);
            self.lock();
        }
        self.set_tag(tag);
        self.unlock(0);
        self.store(PAGE, tag[0]);
        self.lock();
        self.unlock(VALID);
    }
}

/// A reader's load, or a fence between loads.
#[derive(Clone, Copy)]
enum Step {
    Load { word: usize, acquire: bool },
    Fence,
}

/// A buffer that notes a reader's steps.
struct Traced<'v> {
    /// The value of the n-th load, which is of this word.
    value: &'v dyn Fn(usize, usize) -> u32,
    loads: Cell<usize>,
    steps: RefCell<Vec<Step>>,
}

impl<'v> Traced<'v> {
    fn giving(value: &'v dyn Fn(usize, usize) -> u32) -> Self {
        Self {
            value,
            loads: Cell::new(0),
            steps: RefCell::default(),
        }
    }

    fn load(&self, word: usize, acquire: bool) -> u32 {
        self.steps.borrow_mut().push(Step::Load { word, acquire });
        let load = self.loads.replace(self.loads.get() + 1);
        (self.value)(load, word)
    }

    fn page(&self) -> u32 {
        self.load(PAGE, false)
    }
}

impl Buffer for Traced<'_> {
    type Tag = [u32; 2];
    const VALID: u32 = VALID;
    const LOCKED: u32 = LOCKED;

    fn tag(&self) -> [u32; 2] {
        TAG.map(|word| self.load(word, false))
    }

    fn state(&self) -> u32 {
        self.load(STATE, true)
    }

    fn fence(&self) {
        self.steps.borrow_mut().push(Step::Fence);
    }
}

/// Reads the wanted page: its bytes, if the copy counts.
type Reader = fn(&Traced<'_>) -> Option<u32>;

fn reader(buffer: &Traced<'_>) -> Option<u32> {
    let mut copy = 0;
    read(buffer, &WANTED, |_| true, || copy = buffer.page()).then_some(copy)
}

struct Load {
    word: usize,
    /// The loads made before it.
    after: Set,
}

/// The loads of a reader that finds the wanted page.
fn loads_of(reader: Reader) -> Vec<Load> {
    let value = |_, word: usize| holding(WANTED)[word];
    let traced = Traced::giving(&value);
    assert_eq!(reader(&traced), RIGHT);
    let (mut loads, mut barrier) = (Vec::new(), 0);
    for step in traced.steps.into_inner() {
        match step {
            Step::Fence => barrier = (1 << loads.len()) - 1,
            Step::Load { word, acquire } => {
                let after = barrier;
                if acquire {
                    barrier |= 1 << loads.len();
                }
                loads.push(Load { word, after });
            }
        }
    }
    loads
}

/// A moment of a run: the stores seen by all, the loads made, and the values of these.
type Moment = (Set, Set, Vec<u32>);

/// Runs stores and loads in every order allowed.
struct Explorer {
    before: Memory,
    stores: Vec<Store>,
    loads: Vec<Load>,
    visited: HashSet<Moment>,
    /// The values of all loads, in the order of the program.
    found: BTreeSet<Vec<u32>>,
}

impl Explorer {
    fn visit(&mut self, moment: Moment) {
        if !self.visited.insert(moment.clone()) {
            return;
        }
        let (seen, made, values) = moment;
        for i in 0..self.stores.len() {
            if seen & 1 << i == 0 && self.stores[i].after & !seen == 0 {
                self.visit((seen | 1 << i, made, values.clone()));
            }
        }
        for i in 0..self.loads.len() {
            if made & 1 << i == 0 && self.loads[i].after & !made == 0 {
                let mut values = values.clone();
                values[i] = self.value(self.loads[i].word, seen);
                self.visit((seen, made | 1 << i, values));
            }
        }
        if made.count_ones() as usize == self.loads.len() {
            self.found.insert(values);
        }
    }

    /// A word after the stores that are seen.
    fn value(&self, word: usize, seen: Set) -> u32 {
        let mut stores = self.stores.iter().enumerate().rev();
        let last = stores.find(|(i, store)| store.word == word && seen & 1 << i != 0);
        last.map_or(self.before[word], |(_, store)| store.value)
    }
}

/// The pages that a buffer holds, one after the other, and how they replace each other.
struct Run<'p> {
    pages: &'p [[u32; 2]],
    eviction: Eviction,
    processor: Processor,
}

impl<'p> Run<'p> {
    fn of(pages: &'p [[u32; 2]], eviction: Eviction, processor: Processor) -> Self {
        Self {
            pages,
            eviction,
            processor,
        }
    }

    /// All outcomes of a reader.
    fn outcomes(&self, reader: Reader) -> Vec<Option<u32>> {
        let before = holding(self.pages[0]);
        let mut writer = Writer {
            eviction: self.eviction,
            processor: self.processor,
            memory: before,
            stores: Vec::new(),
            barrier: 0,
        };
        for page in &self.pages[1..] {
            writer.replace_by(*page);
        }
        let loads = loads_of(reader);
        let values = vec![0; loads.len()];
        let mut explorer = Explorer {
            before,
            stores: writer.stores,
            loads,
            visited: HashSet::new(),
            found: BTreeSet::new(),
        };
        explorer.visit((0, 0, values));
        let found = explorer.found.iter();
        let outcomes = found.map(|values| reader(&Traced::giving(&|load, _| values[load])));
        BTreeSet::from_iter(outcomes).into_iter().collect()
    }
}

const REFUSED: Option<u32> = None;
const RIGHT: Option<u32> = Some(WANTED[0]);
const WRONG: Option<u32> = Some(OTHER[0]);

#[test]
fn a_copy_that_counts_is_of_the_wanted_page_while_another_replaces_it() {
    for eviction in EVICTIONS {
        for processor in PROCESSORS {
            let run = Run::of(&[WANTED, OTHER], eviction, processor);
            assert_eq!(run.outcomes(reader), [REFUSED, RIGHT]);
        }
    }
}

#[test]
fn a_copy_that_counts_is_of_the_wanted_page_while_it_replaces_another() {
    let outcomes =
        |eviction, processor| Run::of(&[OTHER, WANTED], eviction, processor).outcomes(reader);
    for processor in PROCESSORS {
        assert_eq!(outcomes(Eviction::Clears, processor), [REFUSED, RIGHT]);
    }
    assert_eq!(
        outcomes(Eviction::Overwrites, Processor::Full),
        [REFUSED, RIGHT]
    );
    // The new tag may be seen before the lock of the descriptor, during the whole copy.
    let deceived = outcomes(Eviction::Overwrites, Processor::AcquireRelease);
    assert_eq!(deceived, [REFUSED, RIGHT, WRONG]);
}

#[test]
fn halves_of_two_tags_are_no_tag() {
    let outcomes = |eviction, processor| {
        Run::of(&[SECOND_HALF, FIRST_HALF], eviction, processor).outcomes(reader)
    };
    for processor in PROCESSORS {
        assert_eq!(outcomes(Eviction::Clears, processor), [REFUSED]);
    }
    assert_eq!(outcomes(Eviction::Overwrites, Processor::Full), [REFUSED]);
    let deceived = outcomes(Eviction::Overwrites, Processor::AcquireRelease);
    assert_eq!(deceived, [REFUSED, Some(SECOND_HALF[0])]);
}

#[test]
fn a_page_replaced_twice_within_a_copy_deceives() {
    for eviction in EVICTIONS {
        for processor in PROCESSORS {
            let run = Run::of(&[WANTED, OTHER, WANTED], eviction, processor);
            assert_eq!(run.outcomes(reader), [REFUSED, RIGHT, WRONG]);
        }
    }
}

/// Each part of a read is needed: without it some order gives bytes of another page.
mod without {
    use super::*;

    /// Whether a reader takes bytes of another page while that replaces the wanted one, and the other way round.
    fn is_deceived(reader: Reader, eviction: Eviction) -> [bool; 2] {
        [[WANTED, OTHER], [OTHER, WANTED]].map(|pages| {
            let run = Run::of(&pages, eviction, Processor::Full);
            run.outcomes(reader).contains(&WRONG)
        })
    }

    fn is_held(buffer: &Traced<'_>) -> bool {
        state_of(buffer, &WANTED).is_some()
    }

    fn checked_by(is_held: impl Fn() -> bool, buffer: &Traced<'_>) -> Option<u32> {
        let before = is_held();
        let copy = buffer.page();
        buffer.fence();
        let after = is_held();
        (before && after).then_some(copy)
    }

    #[test]
    fn nothing() {
        let reader: Reader = |buffer| checked_by(|| is_held(buffer), buffer);
        for eviction in EVICTIONS {
            assert_eq!(is_deceived(reader, eviction), [false, false]);
        }
    }

    #[test]
    fn the_first_check() {
        let reader: Reader = |buffer| {
            let copy = buffer.page();
            buffer.fence();
            is_held(buffer).then_some(copy)
        };
        for eviction in EVICTIONS {
            assert_eq!(is_deceived(reader, eviction), [false, true]);
        }
    }

    #[test]
    fn the_second_check() {
        let reader: Reader = |buffer| is_held(buffer).then(|| buffer.page());
        for eviction in EVICTIONS {
            assert_eq!(is_deceived(reader, eviction), [true, false]);
        }
    }

    #[test]
    fn the_fence_after_the_copy() {
        let reader: Reader = |buffer| {
            let before = is_held(buffer);
            let copy = buffer.page();
            let after = is_held(buffer);
            (before && after).then_some(copy)
        };
        for eviction in EVICTIONS {
            assert_eq!(is_deceived(reader, eviction), [true, false]);
        }
    }

    #[test]
    fn the_tag_before_the_state() {
        let reader: Reader = |buffer| {
            let is_held = || {
                let state = buffer.state();
                buffer.tag() == WANTED && state & (VALID | LOCKED) == VALID
            };
            checked_by(is_held, buffer)
        };
        for eviction in EVICTIONS {
            assert!(is_deceived(reader, eviction)[1]);
        }
    }

    #[test]
    fn the_fence_after_the_tag() {
        let reader: Reader = |buffer| {
            let is_held = || {
                let tag = buffer.tag();
                tag == WANTED && buffer.state() & (VALID | LOCKED) == VALID
            };
            checked_by(is_held, buffer)
        };
        for eviction in EVICTIONS {
            assert!(is_deceived(reader, eviction)[1]);
        }
    }

    #[test]
    fn the_flag_of_the_lock() {
        let reader: Reader = |buffer| {
            let is_held = || {
                let tag = buffer.tag();
                buffer.fence();
                tag == WANTED && buffer.state() & VALID == VALID
            };
            checked_by(is_held, buffer)
        };
        assert_eq!(is_deceived(reader, Eviction::Overwrites), [false, true]);
        assert_eq!(is_deceived(reader, Eviction::Clears), [false, false]);
    }
}

//! The one image that a set of heads stands for.

use std::sync::Arc;

use super::Row;
use super::cache::key;
use super::history::Held;
use crate::planted::{self, Bug};
use crate::{
    Ancestor, GuestFault, HostFault, Image, MergeFunctions, MergeInput, MergeSide, RowKey, Stamp,
    VersionVector,
};

/// One head and the ancestor that it was merged with.
#[derive(Clone, Debug)]
pub struct FoldStep {
    /// The head.
    pub head: Arc<Held>,
    /// What it was merged with, or would have been.
    pub ancestor: Ancestor,
}

/// How a row's image came about.
#[derive(Clone, Debug)]
pub struct Fold {
    /// The heads, oldest first.
    pub steps: Vec<FoldStep>,
    /// Why the image is the newest head and nothing else, if it is for a fault.
    pub fault: Option<GuestFault>,
    /// How often a merge function was called, ancestors included.
    pub calls: u32,
}

/// A fold under way: the heads before `next` are merged into `image`.
struct Frame {
    heads: Vec<Arc<Held>>,
    next: usize,
    image: Option<Image>,
    vv: VersionVector,
    ancestors: Vec<Ancestor>,
}

enum State {
    Known(Option<Image>),
    /// No one ever saw the row so: it is the fold of these.
    FoldOf(Vec<Arc<Held>>),
}

impl Frame {
    fn new(heads: Vec<Arc<Held>>) -> Option<Self> {
        let oldest = heads.first()?;
        let (image, vv) = (oldest.after.clone(), oldest.vv.clone());
        Some(Self { heads, next: 1, image, vv, ancestors: vec![Ancestor::Unknown] })
    }

    fn newest(&self) -> &Arc<Held> {
        &self.heads[self.heads.len() - 1]
    }
}

impl Row {
    /// Folds the heads into the row's image: pairwise, oldest first, with the function that the
    /// newest head is stamped with, and with the true common ancestor. One guest fault, and the
    /// whole fold is its newest head. A host fault is no answer: the image stays as it was.
    ///
    /// An ancestor that no one ever saw is itself folded from its heads, and so on; what is under
    /// way stands on a stack of its own, as it may be as deep as there are unsettled conflicts.
    pub fn fold(
        &mut self,
        row: &RowKey,
        functions: &dyn MergeFunctions,
    ) -> Result<Fold, HostFault> {
        let heads: Vec<Arc<Held>> =
            self.state.heads.iter().filter_map(|head| self.past.get(head).cloned()).collect();
        let Some(top) = Frame::new(heads) else {
            // All heads are within the floor, which is the row.
            return Ok(Fold { steps: Vec::new(), fault: None, calls: 0 });
        };
        let (image, fold) = match self.run(top, row, functions) {
            Err(_) if planted::is(Bug::HostFaultIsNewest) => {
                self.take_newest();
                return Ok(Fold { steps: Vec::new(), fault: None, calls: 0 });
            }
            folded => folded?,
        };
        self.state.image = image;
        Ok(fold)
    }

    /// The row with exactly the changes in `vv`.
    pub(super) fn at(
        &mut self,
        vv: &VersionVector,
        row: &RowKey,
        functions: &dyn MergeFunctions,
    ) -> Result<Option<Image>, HostFault> {
        match self.look_up(vv) {
            State::Known(image) => Ok(image),
            State::FoldOf(heads) => match Frame::new(heads) {
                Some(frame) => self.run(frame, row, functions).map(|(image, _)| image),
                None => Ok(None),
            },
        }
    }

    fn look_up(&mut self, vv: &VersionVector) -> State {
        let heads = self.past.heads(vv);
        match &heads[..] {
            [] => State::Known(self.state.floor_image.clone()),
            [only] => State::Known(only.after.clone()),
            _ if planted::is(Bug::FloorForAncestor) => State::Known(self.state.floor_image.clone()),
            [.., last] if planted::is(Bug::OneHeadAncestor) => State::Known(last.after.clone()),
            _ => match self.cache.get(&key(&heads)) {
                Some(image) => State::Known(image),
                None => State::FoldOf(heads),
            },
        }
    }

    fn run(
        &mut self,
        top: Frame,
        row: &RowKey,
        functions: &dyn MergeFunctions,
    ) -> Result<(Option<Image>, Fold), HostFault> {
        let mut stack: Vec<Frame> = Vec::new();
        let mut frame = top;
        let mut calls = 0;
        loop {
            let fault = match self.advance(&mut frame, row, functions, &mut calls)? {
                Progress::Needs(heads) => {
                    if let Some(ancestor) = Frame::new(heads) {
                        stack.push(std::mem::replace(&mut frame, ancestor));
                    }
                    continue;
                }
                Progress::Done(fault) => fault,
            };
            if frame.heads.len() > 1 {
                self.cache.insert(key(&frame.heads), frame.image.clone());
            }
            match stack.pop() {
                // Its look-up will find the state in the cache now.
                Some(outer) => frame = outer,
                None => {
                    self.cache.trim();
                    frame.ancestors.resize(frame.heads.len(), Ancestor::Unknown);
                    let steps = frame.heads.into_iter().zip(frame.ancestors);
                    let steps = steps.map(|(head, ancestor)| FoldStep { head, ancestor }).collect();
                    return Ok((frame.image, Fold { steps, fault, calls }));
                }
            }
        }
    }

    /// Merges head after head, until an ancestor is missing or the fold is done.
    fn advance(
        &mut self,
        frame: &mut Frame,
        row: &RowKey,
        functions: &dyn MergeFunctions,
        calls: &mut u32,
    ) -> Result<Progress, HostFault> {
        let Stamp::Function(version) = frame.newest().stamp else {
            self.note_known_ancestors(frame);
            frame.image = frame.newest().after.clone();
            return Ok(Progress::Done(None));
        };
        while let Some(head) = frame.heads.get(frame.next) {
            let ancestor = match self.look_up(&frame.vv.meet(&head.vv)) {
                State::Known(image) => image,
                State::FoldOf(heads) => return Ok(Progress::Needs(heads)),
            };
            let older = &frame.heads[frame.next - 1];
            let input = MergeInput {
                row,
                ancestor: ancestor.as_ref(),
                older: MergeSide::of_older(&older.id, older.operation, frame.image.as_ref()),
                newer: MergeSide::of(&head.id, head.operation, head.after.as_ref()),
            };
            *calls += 1;
            let merged = functions.merge(&version, &input)?;
            frame.ancestors.push(Ancestor::Known(ancestor));
            match merged {
                Ok(image) => frame.image = image,
                Err(fault) => {
                    if !planted::is(Bug::GuestFaultIsPartial) {
                        frame.image = frame.newest().after.clone();
                    }
                    frame.vv.join(&frame.heads[frame.next].vv);
                    self.note_known_ancestors(frame);
                    return Ok(Progress::Done(Some(fault)));
                }
            }
            frame.vv.join(&frame.heads[frame.next].vv);
            frame.next += 1;
        }
        Ok(Progress::Done(None))
    }

    /// For the log of a conflict: the ancestors at hand of the heads that no function was asked
    /// about. The frame's vector is that of the heads before them.
    fn note_known_ancestors(&self, frame: &mut Frame) {
        while let Some(head) = frame.heads.get(frame.ancestors.len()) {
            let heads = self.past.heads(&frame.vv.meet(&head.vv));
            frame.ancestors.push(match &heads[..] {
                [] => Ancestor::Known(self.state.floor_image.clone()),
                [only] => Ancestor::Known(only.after.clone()),
                _ => self.cache.peek(&key(&heads)).map_or(Ancestor::Unknown, Ancestor::Known),
            });
            frame.vv.join(&head.vv);
        }
    }
}

enum Progress {
    Needs(Vec<Arc<Held>>),
    Done(Option<GuestFault>),
}

use super::*;

const SHAPE: Shape = Shape { run: 100, recommendations: 1, reviews: 1 };

fn there(product: u8, recommendations: u8, reviews: u8) -> Shown {
    let list = |version| List { version: (version > 0).then_some(version), found: 1, of: 1 };
    Shown::There { product, recommendations: list(recommendations), reviews: list(reviews) }
}

fn model(composites: u32, mix: &str, duplicate: &str) -> Model {
    Model::new(SHAPE, composites, mix.parse().unwrap(), duplicate.parse().unwrap())
}

/// All tasks, each of which is accepted at once.
fn tasks(mut model: Model) -> Vec<Task> {
    let mut tasks = Vec::new();
    while let Some(task) = model.next() {
        if let Task::Write(write) = task {
            model.settle(write.id, false);
        }
        tasks.push(task);
    }
    tasks
}

#[test]
fn creations_alone_are_all_the_ids_in_a_row() {
    let expected: Vec<Task> = (100..150).map(|id| Task::Write(Write { id, step: 1, repeated: None })).collect();
    assert_eq!(tasks(model(50, "1,0,0", "0")), expected);
}

#[test]
fn a_mix_is_kept_and_the_steps_of_a_product_follow_each_other() {
    let tasks = tasks(model(7000, "70,10,20", "5%"));
    let mut steps = std::collections::HashMap::new();
    let (mut creates, mut deletes, mut reads, mut repeated) = (0, 0, 0, 0);
    for task in tasks {
        match task {
            Task::Read(id) => {
                assert!(steps.contains_key(&id), "{id} is read before it is written");
                reads += 1;
            }
            Task::Write(write) => {
                let step = steps.entry(write.id).or_insert(0);
                *step += 1;
                assert_eq!(*step, write.step);
                *(if present(write.step) { &mut creates } else { &mut deletes }) += 1;
                repeated += i32::from(write.repeated.is_some());
                assert!(write.repeated.is_none_or(|step| step + 1 == write.step), "{write:?}");
            }
        }
    }
    assert_eq!(creates, 7000);
    assert!((850..1150).contains(&deletes), "{deletes} deletes");
    assert!((1850..2150).contains(&reads), "{reads} reads");
    // Every eighth or so is written again, and of those one in twenty.
    assert!((50..150).contains(&repeated), "{repeated} repeated");
    assert!(steps.values().any(|step| *step == 3), "nothing was created again");
}

#[test]
fn a_product_has_one_write_under_way_and_none_after_a_doubtful_one() {
    let mut model = model(3, "1,1,0", "0");
    let ids: Vec<i32> = std::iter::from_fn(|| model.next())
        .map(|task| if let Task::Write(write) = task { write.id } else { panic!("a read") })
        .collect();
    assert_eq!(ids, [100, 101, 102], "a write was asked for beside another of its product");
    model.settle(100, true);
    assert!(!model.products[0].is_free());
    assert_eq!(model.missing(100, &Shown::Gone).map(|fault| fault.kind), None);
    assert_eq!(model.missing(101, &Shown::Gone).map(|fault| fault.kind), Some(Kind::Lost));
}

#[test]
fn nothing_that_was_seen_goes_back() {
    for (asked, before, shown, seen) in [
        (1, [0, 0, 0], Shown::Gone, Some([0, 0, 0])),
        (1, [0, 0, 0], there(1, 0, 1), Some([1, 0, 1])),
        // It was seen, and nobody has deleted it.
        (1, [1, 1, 1], Shown::Gone, None),
        (2, [1, 1, 1], Shown::Gone, Some([2, 1, 1])),
        // A deletion that is under way has not taken effect yet; one that did stays.
        (2, [1, 1, 1], there(1, 1, 1), Some([1, 1, 1])),
        (2, [2, 1, 1], there(1, 1, 1), None),
        // The new product before its new reviews, never again the other way round.
        (3, [2, 1, 1], there(2, 1, 1), Some([3, 1, 1])),
        (3, [3, 3, 3], there(2, 1, 2), None),
        (3, [3, 3, 3], there(2, 2, 0), Some([3, 3, 3])),
        (3, [3, 3, 3], Shown::Gone, None),
        (4, [3, 3, 3], Shown::Gone, Some([4, 3, 3])),
    ] {
        assert_eq!(judge(asked, before, &shown).ok(), seen, "{asked} {before:?} {shown:?}");
    }
}

#[test]
fn what_is_missing_at_the_end_has_its_kind() {
    for (asked, shown, kind) in [
        (1, Shown::complete(&SHAPE, 1), None),
        (1, Shown::Gone, Some(Kind::Lost)),
        (1, there(1, 1, 0), Some(Kind::Lost)),
        (2, Shown::Gone, None),
        (2, there(1, 1, 1), Some(Kind::Stale)),
        (3, Shown::complete(&SHAPE, 2), None),
        (3, there(2, 2, 1), Some(Kind::Stale)),
        (3, there(1, 1, 1), Some(Kind::Stale)),
    ] {
        assert_eq!(missing(&SHAPE, asked, &shown).map(|fault| fault.kind), kind, "{asked} {shown:?}");
    }
}

#[test]
fn a_product_is_named_for_one_fault() {
    let mut model = model(1, "1,0,0", "0");
    model.next();
    let broken = || Err(Fault::new(Kind::Wrong, "x".to_owned()));
    assert!(model.saw(100, [0; 3], &broken()).is_some());
    assert!(model.saw(100, [0; 3], &broken()).is_none());
}

#[test]
fn a_million_products_fit() {
    assert!(size_of::<Product>() <= 8);
}

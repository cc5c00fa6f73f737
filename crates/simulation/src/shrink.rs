//! Shortens a plan that breaks a rule, as long as it breaks the same rule.

use crate::plan::{Plan, Weather, What};
use crate::rule::Rule;
use crate::run::{Run, run};

/// The most runs that are spent on one plan.
const RUNS_MAX: usize = 600;
/// A shorter plan has other random effects, so each is tried with several random sources.
const NOISES: u64 = 2;

/// The shortest plan found, and its run.
pub(crate) struct Shortest {
    pub(crate) plan: Plan,
    pub(crate) ran: Run,
    rule: Rule,
    runs: usize,
}

/// Shortens a plan whose run broke a rule.
pub(crate) fn shrink(plan: Plan, ran: Run, rule: Rule) -> Shortest {
    let mut shortest = Shortest { plan, ran, rule, runs: 0 };
    loop {
        let before = shortest.plan.steps.len();
        shortest.drop_the_end();
        shortest.drop_steps();
        shortest.simplify();
        if shortest.plan.steps.len() == before || shortest.runs >= RUNS_MAX {
            return shortest;
        }
    }
}

impl Shortest {
    /// Keeps a shorter plan if it breaks the same rule.
    fn try_plan(&mut self, plan: &Plan) -> bool {
        for noise in 0..NOISES {
            if self.runs >= RUNS_MAX {
                return false;
            }
            self.runs += 1;
            let plan = Plan { noise: plan.noise + noise, ..plan.clone() };
            let ran = run(&plan);
            if ran.broken.as_ref().is_some_and(|broken| broken.rule == self.rule) {
                (self.plan, self.ran) = (plan, ran);
                return true;
            }
        }
        false
    }

    /// Cuts the end of the plan.
    fn drop_the_end(&mut self) {
        let mut cut = self.plan.steps.len() / 2;
        while cut > 0 {
            let keep = self.plan.steps.len().saturating_sub(cut);
            let steps = self.plan.steps[..keep].to_vec();
            if !self.try_plan(&Plan { steps, ..self.plan.clone() }) {
                cut /= 2;
            }
            cut = cut.min(self.plan.steps.len());
        }
    }

    /// Removes steps, many at once and then one by one.
    fn drop_steps(&mut self) {
        let mut size = (self.plan.steps.len() / 2).max(1);
        loop {
            let mut at = 0;
            while at < self.plan.steps.len() {
                let mut steps = self.plan.steps.clone();
                steps.drain(at..(at + size).min(steps.len()));
                if !self.try_plan(&Plan { steps, ..self.plan.clone() }) {
                    at += size;
                }
            }
            if size == 1 {
                return;
            }
            size /= 2;
        }
    }

    /// Reduces users, instances and partitions, and the faults of network and store.
    fn simplify(&mut self) {
        let simpler: [fn(&mut Plan); 8] = [
            |plan| plan.setup.weather = Weather::CALM,
            |plan| plan.setup.replicas = false,
            |plan| plan.setup.is_observed = false,
            |plan| plan.setup.delivered = false,
            |plan| plan.setup.instances = (plan.setup.instances - 1).max(1),
            |plan| plan.setup.partitions = (plan.setup.partitions / 2).max(1),
            |plan| plan.setup.users = 2,
            |plan| plan.setup.cached_users = 1000,
        ];
        for simplify in simpler {
            let mut plan = self.plan.clone();
            simplify(&mut plan);
            let users = plan.setup.users;
            plan.steps.retain(|step| match &step.what {
                What::Call { user, call } => *user < users && call.names_below(users),
                What::Fault(_) => true,
            });
            self.try_plan(&plan);
        }
    }
}

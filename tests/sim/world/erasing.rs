//! The operator erases users, as `DELETE /v1/users/{user}` does: the user's own shard is ordered first, then the others, and
//! then the user leaves its groups.

use crate::world::World;
use crate::world::operator::Task;
use mushan::model::{Addressee, GroupId, Order, ShardId, UserId};

/// More are not erased in a run.
const ERASED_MAX: u64 = 2;

/// One user on the way out.
pub struct Erasing {
    pub user: String,
    /// Shards that are still to be ordered, and the one that is.
    left: Vec<ShardId>,
    is_under_way: bool,
}

impl World {
    /// Users who are neither erased nor about to be.
    pub fn living(&self) -> Vec<String> {
        self.users.iter().filter(|user| !self.ledger.erasures.may_be(user)).cloned().collect()
    }

    /// One step of an erasure, or the beginning of one.
    pub fn erase_some(&mut self) {
        if !self.is_ready() {
            return;
        }
        let Some(erasing) = &mut self.operator.erasing else { return self.begin_to_erase() };
        if !std::mem::replace(&mut erasing.is_under_way, true) {
            let (shard, user) = (erasing.left[0], UserId::new(&erasing.user).expect("a user"));
            self.give(Task::done_by(Order::EraseUser { shard, user }));
        }
    }

    fn begin_to_erase(&mut self) {
        let living = self.living();
        let is_enough = self.ledger.erasures.all().count() as u64 >= ERASED_MAX;
        if is_enough || living.len() <= 2 || !self.chance.one_in(4) {
            return;
        }
        let user = self.chance.pick(&living).clone();
        let id = UserId::new(&user).expect("a user");
        // What is ordered of the user would be refused.
        if self.operator.is_about(&Addressee::User(id.clone())) {
            return;
        }
        let home = self.placement.owner_of(&id);
        let others = (0..self.cores.len()).map(|at| ShardId(at as u16)).filter(|shard| *shard != home);
        let left = std::iter::once(home).chain(others).collect();
        self.ledger.groups.erased.insert(user.clone());
        self.ledger.erasures.begin(&user, self.ledger.moment.step);
        self.operator.erasing = Some(Erasing { user, left, is_under_way: false });
    }

    /// A shard has answered that the user is erased there.
    pub fn erased_on(&mut self, shard: ShardId) {
        let erasing = self.operator.erasing.as_mut().expect("one is erased");
        assert_eq!(erasing.left.remove(0), shard);
        erasing.is_under_way = false;
        self.ledger.erasures.tell(&erasing.user, usize::from(shard.0));
        if !erasing.left.is_empty() {
            return;
        }
        let user = self.operator.erasing.take().expect("one is erased").user;
        self.ledger.erasures.finish(&user, self.ledger.moment.step);
        self.follower.erase(&user);
        self.leave_groups(&user);
    }

    fn leave_groups(&mut self, user: &str) {
        let is_in = |group: &crate::check::group::Group| group.members.contains_key(user) && group.owner != user;
        let groups = self.ledger.groups.all().filter(|(_, group)| is_in(group)).map(|(name, _)| name.clone());
        for name in groups.collect::<Vec<_>>() {
            let group = GroupId::new(&name).expect("a group");
            let remove = vec![UserId::new(user).expect("a user")];
            let order = Order::ChangeMembers { group, add: Vec::new(), remove };
            if !self.operator.is_about(&order.addressee()) {
                self.give(Task::of_users(order));
            }
        }
    }
}

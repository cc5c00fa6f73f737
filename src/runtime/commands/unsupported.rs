//! Methods of the SDK that peerd does not offer. Calls of them get a code of their own.
//!
//! The names are those of the ZIM web SDK 2.29, and of methods that are planned for peerd. A method
//! that is implemented moves from here to the list of commands.

/// The names, sorted.
const NAMES: &[&str] = &[
    "accept_friend_application",
    "accept_group_invite_application",
    "accept_group_join_application",
    "add_friend",
    "append_streamed_message",
    "begin_room_attributes_batch_operation",
    "begin_streamed_message",
    "call_accept",
    "call_cancel",
    "call_end",
    "call_experimental_api",
    "call_invite",
    "call_join",
    "call_quit",
    "call_reject",
    "calling_invite",
    "cancel_sending_message",
    "check_friends_relation",
    "create",
    "create_group",
    "create_room",
    "delete_friends",
    "delete_group_attributes",
    "delete_room_attributes",
    "destroy",
    "dismiss_group",
    "end_room_attributes_batch_operation",
    "end_streamed_message",
    "enter_room",
    "get_instance",
    "get_version",
    "insert_message_to_local_db",
    "invite_users_into_group",
    "join_group",
    "join_room",
    "kick_group_members",
    "leave_all_room",
    "leave_group",
    "leave_room",
    "mute_group",
    "mute_group_members",
    "off",
    "on",
    "query_call_invitation_list",
    "query_friend_application_list",
    "query_friend_list",
    "query_friends_info",
    "query_group_all_attributes",
    "query_group_application_list",
    "query_group_attributes",
    "query_group_info",
    "query_group_list",
    "query_group_member_count",
    "query_group_member_info",
    "query_group_member_list",
    "query_group_member_muted_list",
    "query_group_message_receipt_read_member_list",
    "query_group_message_receipt_unread_member_list",
    "query_room_all_attributes",
    "query_room_member_attributes_list",
    "query_room_member_list",
    "query_room_members",
    "query_room_members_attributes",
    "query_room_online_member_count",
    "reject_friend_application",
    "reject_group_invite_application",
    "reject_group_join_application",
    "renew_token",
    "search_global_local_messages",
    "search_local_conversations",
    "search_local_friends",
    "search_local_group_members",
    "search_local_groups",
    "search_local_messages",
    "send_friend_application",
    "send_group_invite_applications",
    "send_group_join_application",
    "set_advanced_config",
    "set_conversation_message_destruct_duration",
    "set_geofencing_config",
    "set_group_attributes",
    "set_group_member_nickname",
    "set_group_member_role",
    "set_log_config",
    "set_room_attributes",
    "set_room_members_attributes",
    "switch_room",
    "transfer_group_owner",
    "update_friend_alias",
    "update_friend_attributes",
    "update_group_alias",
    "update_group_avatar_url",
    "update_group_be_invite_mode",
    "update_group_invite_mode",
    "update_group_join_mode",
    "update_group_name",
    "update_group_notice",
    "update_message_local_extended_data",
    "update_user_badge",
    "update_user_offline_push_rule",
    "upload_log",
];

/// All of them.
#[must_use]
pub(super) const fn names() -> &'static [&'static str] {
    NAMES
}

/// Whether the SDK has a method of that name and peerd does not offer it.
#[must_use]
pub(super) fn has(name: &str) -> bool {
    NAMES.binary_search(&name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::commands::Method;

    #[test]
    fn the_contract_lists_them() {
        let contract = include_str!("../../../docs/protocol.md");
        let section = contract.split("### Unsupported methods").nth(1).expect("its section");
        let section = section.split("\n##").next().unwrap_or_default();
        let listed = section.matches('`').count() / 2;
        for name in NAMES {
            assert!(section.contains(&format!("`{name}`")), "{name}");
        }
        // And the two reasons.
        assert_eq!(listed, NAMES.len() + 2);
    }

    #[test]
    fn the_names_are_sorted_and_none_is_one_of_peerds() {
        assert!(NAMES.windows(2).all(|pair| pair[0] < pair[1]));
        for name in NAMES {
            let is_snake_case = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
            assert!(is_snake_case, "{name}");
            assert!(has(name));
            assert_eq!(Method::from_name(name), None, "{name} is offered");
        }
        assert!(!has("send_peer_message") && !has("no_such_method") && !has(""));
    }
}

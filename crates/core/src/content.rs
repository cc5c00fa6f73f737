//! The content of a message: the fields of its type, and their valid values.

use super::limits::{
    COMBINE_DEPTH_MAX, COMBINE_MESSAGES_MAX, Limits, MULTIPLE_ITEMS_MAX,
    SEARCHED_CONTENT_MAX_BYTES, SUB_TYPE_MAX,
};
use super::rejection::Rejection;
use super::text::{NOT_A_LINE, is_blank, is_line};

/// The type of a message, with the SDK's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum MessageType {
    /// Text for people.
    Text = 1,
    /// Bytes for programs, delivered live and never stored.
    Command = 2,
    /// Several texts and media in one message.
    Multiple = 10,
    /// An image.
    Image = 11,
    /// Any file.
    File = 12,
    /// An audio file.
    Audio = 13,
    /// A video.
    Video = 14,
    /// A message that its sender revoked. Never sent.
    Revoke = 31,
    /// Forwarded messages under a title.
    Combine = 100,
    /// Text whose meaning the application defines.
    Custom = 200,
}

impl MessageType {
    /// The type with a number that a caller may send to a peer.
    #[must_use]
    pub const fn from_number(number: u64) -> Option<Self> {
        Some(match number {
            1 => Self::Text,
            2 => Self::Command,
            10 => Self::Multiple,
            11 => Self::Image,
            12 => Self::File,
            13 => Self::Audio,
            14 => Self::Video,
            100 => Self::Combine,
            200 => Self::Custom,
            _ => return None,
        })
    }

    /// The type with a number that a stored message may have had before it was revoked.
    #[must_use]
    pub const fn stored(number: u16) -> Option<Self> {
        match Self::from_number(number as u64) {
            Some(Self::Command) | None => None,
            found => found,
        }
    }

    /// The SDK's number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }
}

/// The location of a media file. peerd never holds its bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Media {
    /// The download URL.
    pub url: String,
    /// The file name, with extension.
    pub name: String,
    /// The size in bytes.
    pub size: u64,
    /// The uploader's ID for the file.
    pub uid: String,
}

/// An image's size in pixels; zero if the sender did not give it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pixels {
    /// Width.
    pub width: u32,
    /// Height.
    pub height: u32,
}

/// The fields that depend on the message type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Text for people.
    Text {
        /// The text.
        message: String,
    },
    /// Bytes for programs.
    Command {
        /// The bytes.
        message: Vec<u8>,
    },
    /// Several texts and media in one message.
    Multiple {
        /// The parts: Text, Image, File, Audio, Video or Custom.
        infos: Vec<Content>,
    },
    /// An image.
    Image {
        /// The original.
        media: Media,
        /// URL of the small copy.
        thumbnail_url: String,
        /// URL of the medium-sized copy.
        large_url: String,
        /// Size of the original.
        original: Pixels,
        /// Size of the medium-sized copy.
        large: Pixels,
        /// Size of the small copy.
        thumbnail: Pixels,
    },
    /// Any file.
    File {
        /// The file.
        media: Media,
    },
    /// An audio file.
    Audio {
        /// The audio file.
        media: Media,
        /// The duration.
        duration_seconds: u32,
    },
    /// A video.
    Video {
        /// The video file.
        media: Media,
        /// The duration.
        duration_seconds: u32,
        /// URL of the first frame.
        first_frame_url: String,
        /// Size of the first frame.
        first_frame: Pixels,
    },
    /// Forwarded messages.
    Combine {
        /// The title.
        title: String,
        /// A short summary.
        summary: String,
        /// The messages, oldest first.
        messages: Vec<Excerpt>,
    },
    /// Text whose meaning the application defines.
    Custom {
        /// The text.
        message: String,
        /// The application's own type, 0 to 200.
        sub_type: u8,
        /// Text by which a search should find the message.
        searched_content: String,
    },
}

/// A message inside a Combine message: content, sender and time, as given by the forwarding user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Excerpt {
    /// ID of the forwarded message.
    pub message_id: String,
    /// Its sender.
    pub sender_user_id: String,
    /// The time when it was sent, in milliseconds since 1970.
    pub timestamp_ms: u64,
    /// Its extended data.
    pub extended_data: String,
    /// The content; never a Command.
    pub content: Content,
}

impl Content {
    /// The number of contents inside this one, at any depth, itself included.
    #[must_use]
    pub fn parts(&self) -> usize {
        let inside = match self {
            Self::Multiple { infos } => infos.iter().map(Self::parts).sum(),
            Self::Combine { messages, .. } => {
                messages.iter().map(|excerpt| excerpt.content.parts()).sum()
            }
            Self::Text { .. }
            | Self::Command { .. }
            | Self::Image { .. }
            | Self::File { .. }
            | Self::Audio { .. }
            | Self::Video { .. }
            | Self::Custom { .. } => 0,
        };
        1 + inside
    }

    /// The message type of this content.
    #[must_use]
    pub const fn message_type(&self) -> MessageType {
        match self {
            Self::Text { .. } => MessageType::Text,
            Self::Command { .. } => MessageType::Command,
            Self::Multiple { .. } => MessageType::Multiple,
            Self::Image { .. } => MessageType::Image,
            Self::File { .. } => MessageType::File,
            Self::Audio { .. } => MessageType::Audio,
            Self::Video { .. } => MessageType::Video,
            Self::Combine { .. } => MessageType::Combine,
            Self::Custom { .. } => MessageType::Custom,
        }
    }

    /// Whether messages of this type are stored and counted. Commands are only delivered live.
    #[must_use]
    pub const fn is_stored(&self) -> bool {
        !matches!(self, Self::Command { .. })
    }

    /// The size that counts against the limit: the UTF-8 or raw bytes of the message's own content.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Text { message } | Self::Custom { message, .. } => message.len(),
            Self::Command { message } => message.len(),
            Self::Multiple { infos } => infos.iter().map(Self::size_bytes).sum(),
            Self::Image { media, thumbnail_url, large_url, .. } => {
                media.size_bytes() + thumbnail_url.len() + large_url.len()
            }
            Self::File { media } | Self::Audio { media, .. } => media.size_bytes(),
            Self::Video { media, first_frame_url, .. } => {
                media.size_bytes() + first_frame_url.len()
            }
            Self::Combine { title, summary, messages } => {
                let parts = messages.iter().map(Excerpt::size_bytes).sum::<usize>();
                title.len() + summary.len() + parts
            }
        }
    }

    /// Checks the content of a message that is about to be sent.
    pub fn validate(&self, limits: &Limits) -> Result<(), Rejection> {
        self.validate_fields("message", 0)?;
        let (limit, size) = (self.limit_bytes(limits), self.size_bytes());
        if size > limit {
            let problem = format!("is {size} bytes long, {limit} are allowed");
            return Err(Rejection::invalid("message", problem));
        }
        Ok(())
    }

    const fn limit_bytes(&self, limits: &Limits) -> usize {
        match self {
            Self::Text { .. } | Self::Custom { .. } => limits.text_bytes,
            Self::Command { .. } => limits.command_bytes,
            Self::Image { .. } | Self::File { .. } | Self::Audio { .. } | Self::Video { .. } => {
                limits.media_bytes
            }
            Self::Multiple { .. } | Self::Combine { .. } => limits.combine_bytes,
        }
    }

    /// Checks the fields at `path`; `depth` is the number of enclosing Combine messages.
    fn validate_fields(&self, path: &str, depth: usize) -> Result<(), Rejection> {
        match self {
            Self::Text { message } => not_blank(message, path, "message"),
            Self::Command { .. } => Ok(()),
            Self::Custom { message, sub_type, searched_content } => {
                not_blank(message, path, "message")?;
                if *sub_type > SUB_TYPE_MAX {
                    return Err(Rejection::invalid(format!("{path}.subType"), "must be 0 to 200"));
                }
                if searched_content.len() > SEARCHED_CONTENT_MAX_BYTES {
                    let field = format!("{path}.searchedContent");
                    return Err(Rejection::invalid(field, "must be 64 bytes or shorter"));
                }
                Ok(())
            }
            Self::Image { media, .. }
            | Self::File { media }
            | Self::Audio { media, .. }
            | Self::Video { media, .. } => {
                not_blank(&media.url, path, "fileDownloadUrl")?;
                line(&media.name, path, "fileName")
            }
            Self::Multiple { infos } => validate_multiple(infos, path, depth),
            Self::Combine { title, messages, .. } => {
                line(title, path, "title")?;
                validate_combine(messages, path, depth)
            }
        }
    }
}

fn validate_multiple(infos: &[Content], path: &str, depth: usize) -> Result<(), Rejection> {
    let list = format!("{path}.messageInfoList");
    if infos.is_empty() || infos.len() > MULTIPLE_ITEMS_MAX {
        return Err(Rejection::invalid(list, "must have 1 to 20 entries"));
    }
    for (index, info) in infos.iter().enumerate() {
        let item = format!("{list}[{index}]");
        match info {
            Content::Command { .. } | Content::Multiple { .. } | Content::Combine { .. } => {
                return Err(Rejection::invalid(format!("{item}.type"), "is not allowed here"));
            }
            Content::Text { .. }
            | Content::Image { .. }
            | Content::File { .. }
            | Content::Audio { .. }
            | Content::Video { .. }
            | Content::Custom { .. } => info.validate_fields(&item, depth)?,
        }
    }
    Ok(())
}

fn validate_combine(messages: &[Excerpt], path: &str, depth: usize) -> Result<(), Rejection> {
    let list = format!("{path}.messageList");
    if messages.is_empty() || messages.len() > COMBINE_MESSAGES_MAX {
        return Err(Rejection::invalid(list, "must have 1 to 300 entries"));
    }
    if depth >= COMBINE_DEPTH_MAX {
        return Err(Rejection::invalid(list, "is nested too deeply"));
    }
    for (index, excerpt) in messages.iter().enumerate() {
        let item = format!("{list}[{index}]");
        if !excerpt.content.is_stored() {
            return Err(Rejection::invalid(format!("{item}.type"), "is not allowed here"));
        }
        line(&excerpt.message_id, &item, "messageID")?;
        line(&excerpt.sender_user_id, &item, "senderUserID")?;
        excerpt.content.validate_fields(&item, depth + 1)?;
    }
    Ok(())
}

fn not_blank(text: &str, path: &str, field: &str) -> Result<(), Rejection> {
    if is_blank(text) {
        return Err(Rejection::invalid(format!("{path}.{field}"), "must not be blank"));
    }
    Ok(())
}

/// Checks a text that is shown on a line of its own or that names something.
fn line(text: &str, path: &str, field: &str) -> Result<(), Rejection> {
    if is_line(text) {
        return Ok(());
    }
    Err(Rejection::invalid(format!("{path}.{field}"), NOT_A_LINE))
}

impl Media {
    fn size_bytes(&self) -> usize {
        self.url.len() + self.name.len() + self.uid.len()
    }
}

impl Excerpt {
    fn size_bytes(&self) -> usize {
        let names = self.message_id.len() + self.sender_user_id.len();
        names + self.extended_data.len() + self.content.size_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &str) -> Content {
        Content::Text { message: message.into() }
    }

    fn excerpt(content: Content) -> Excerpt {
        Excerpt {
            message_id: "1".into(),
            sender_user_id: "a".into(),
            timestamp_ms: 1,
            extended_data: String::new(),
            content,
        }
    }

    fn combine(content: Content) -> Content {
        Content::Combine {
            title: "t".into(),
            summary: "s".into(),
            messages: vec![excerpt(content)],
        }
    }

    fn field_of(result: Result<(), Rejection>) -> String {
        match result {
            Err(Rejection::InvalidParameter { field, .. }) => field,
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn sizes_are_counted_in_bytes_and_the_limit_itself_is_allowed() {
        let limits = Limits { text_bytes: 6, ..Limits::default() };
        assert_eq!(text("ありが").size_bytes(), 9);
        assert_eq!(text("あり").validate(&limits), Ok(()));
        assert_eq!(field_of(text("ありx").validate(&limits)), "message");
    }

    #[test]
    fn a_bad_field_is_named_by_its_path() {
        let limits = Limits::default();
        assert_eq!(field_of(text(" \n\u{3000}").validate(&limits)), "message.message");
        let nested = combine(Content::Multiple { infos: vec![text("a"), text("")] });
        assert_eq!(
            field_of(nested.validate(&limits)),
            "message.messageList[0].messageInfoList[1].message"
        );
        let command = combine(Content::Command { message: vec![1] });
        assert_eq!(field_of(command.validate(&limits)), "message.messageList[0].type");
    }

    #[test]
    fn combine_messages_nest_only_to_the_maximum_depth() {
        let mut content = text("leaf");
        for _ in 0..COMBINE_DEPTH_MAX {
            content = combine(content);
        }
        assert_eq!(content.validate(&Limits::default()), Ok(()));
        assert!(combine(content).validate(&Limits::default()).is_err());
    }
}

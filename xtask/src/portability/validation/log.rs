//! What the validation layer wrote, and what of it is somebody else's.

use std::collections::BTreeMap;

/// Messages that are no fault of this library's, which copies no image: their names, and whose they are.
const KNOWN: [(&str, &str); 2] = [
    (
        "VUID-vkCmdCopyBufferToImage-pRegions-00173",
        "the layer computes wrong regions for wgpu's uploads of textures \
         (KhronosGroup/Vulkan-ValidationLayers#9537, mended after Debian 13's version)",
    ),
    (
        "VUID-vkCmdCopyImageToBuffer-pRegions-00184",
        "the same of readbacks (KhronosGroup/Vulkan-ValidationLayers#9276); wgpu drops it from its log",
    ),
];

/// Information that says nothing of how Vulkan was used.
const INFORMATION: [&str; 2] = [ACTIVE, "WARNING-cache-file-error"];

/// The layer's first message of an instance, with all that it validates.
const ACTIVE: &str = "WARNING-CreateInstance-status-message";
const SYNCHRONIZATION: &str = "SYNCHRONIZATION_VALIDATION";

/// What there is of one name.
#[derive(Debug, Default)]
struct Message {
    times: usize,
    /// The first text, in one line.
    text: String,
}

/// All messages, each name once.
#[derive(Debug, Default)]
pub struct Messages {
    messages: BTreeMap<String, Message>,
    /// Programs under which the layer did not do what it was asked for.
    inactive: Vec<String>,
}

impl Messages {
    /// Adds a program's log.
    pub fn read(&mut self, program: &str, log: &str) {
        let mut active = false;
        for (name, text) in messages(log) {
            active |= name == ACTIVE && text.contains(SYNCHRONIZATION);
            if INFORMATION.contains(&name) {
                continue;
            }
            let message = self.messages.entry(name.to_owned()).or_default();
            message.times += 1;
            if message.text.is_empty() {
                message.text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
        }
        if !active {
            self.inactive.push(program.to_owned());
        }
    }

    /// What was said and is known, a line each.
    pub fn known(&self) -> Vec<String> {
        let known = KNOWN.iter().filter_map(|(name, whose)| {
            let times = self.messages.get(*name)?.times;
            Some(format!("{name}, {times} times: {whose}"))
        });
        known.collect()
    }

    /// What is wrong, a line each.
    pub fn failures(&self) -> Vec<String> {
        let of = |program| format!("{program}: the layer did not validate synchronization");
        let mut failures: Vec<String> = self.inactive.iter().map(of).collect();
        for (name, Message { times, text }) in &self.messages {
            if KNOWN.iter().all(|(known, _)| known != name) {
                failures.push(format!("{name}, {times} times, first: {text}"));
            }
        }
        failures
    }
}

/// Names and texts, in their order: a line `Validation Error: [ NAME ] | MessageID = …`, or of another level,
/// and the lines of text behind it, up to an empty one.
fn messages(log: &str) -> Vec<(&str, String)> {
    let mut messages: Vec<(&str, String)> = Vec::new();
    let mut within = false;
    for line in log.lines() {
        if let Some(name) = name(line) {
            messages.push((name, String::new()));
            within = true;
        } else if let Some((_, text)) = messages.last_mut().filter(|_| within) {
            text.push_str(line);
            text.push('\n');
            within = !line.is_empty();
        }
    }
    messages
}

/// The name in a message's first line; a message without one has the line itself.
fn name(line: &str) -> Option<&str> {
    let head = line.strip_prefix("Validation ")?;
    let (_, rest) = head.split_once(": ")?;
    let name = rest
        .strip_prefix("[ ")
        .and_then(|rest| rest.split_once(" ]"));
    Some(name.map_or(line, |(name, _)| name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the layer of Debian 13 begins.
    const BEGINNING: &str = "Validation Information: [ WARNING-CreateInstance-status-message ] | MessageID = 0x23dfd876\n\
         vkCreateInstance(): Khronos Validation Layer Active:\n    \
         Current Enables: VK_VALIDATION_FEATURE_ENABLE_SYNCHRONIZATION_VALIDATION_EXT.\n    \
         Current Disables: None.\n\n\
         Objects: 1\n    [0] VkInstance 0x55557c9b14a0\n\n\
         Validation Information: [ WARNING-cache-file-error ] | MessageID = 0xb8515d13\n\
         vkCreateDevice(): Cannot open shader validation cache\n\n";

    fn read(log: &str) -> Messages {
        let mut messages = Messages::default();
        messages.read("kernels", log);
        messages
    }

    #[test]
    fn a_layer_that_found_nothing_is_no_failure() {
        let messages = read(BEGINNING);
        assert_eq!(messages.failures(), [""; 0]);
        assert_eq!(messages.known(), [""; 0]);
    }

    #[test]
    fn a_layer_that_was_not_there_is_a_failure() {
        for log in ["", &BEGINNING.replace("SYNCHRONIZATION", "OTHER")] {
            let failures = read(log).failures();
            assert_eq!(failures.len(), 1, "{failures:?}");
            assert!(failures[0].starts_with("kernels: "), "{failures:?}");
        }
    }

    #[test]
    fn what_is_known_is_told_and_no_failure() {
        let upload = "Validation Error: [ VUID-vkCmdCopyBufferToImage-pRegions-00173 ] | MessageID = 0x4bfcc971\n\
                      vkCmdCopyBufferToImage(): pRegions[0] Detected overlap between source and dest regions in memory.\n\n";
        let messages = read(&[BEGINNING, upload, upload, upload].concat());
        assert_eq!(messages.failures(), [""; 0]);
        let known = messages.known();
        assert_eq!(known.len(), 1);
        assert!(known[0].starts_with("VUID-vkCmdCopyBufferToImage-pRegions-00173, 3 times: "));
    }

    #[test]
    fn what_is_not_known_is_a_failure_once() {
        // What two vkCmdFillBuffer of one buffer gave, with nothing in between; the text is shorter here.
        let hazard = "Validation Error: [ SYNC-HAZARD-WRITE-AFTER-WRITE ] | MessageID = 0x5c0ec5d6\n\
                      vkCmdFillBuffer(): WRITE_AFTER_WRITE hazard detected.\n\
                      Buffer access region: {\n  offset = 0\n  size = 256\n}\n\n\
                      Objects: 2\n    [0] VkCommandBuffer 0x55557488cf00\n\
                      test in_place::y_over_x_has_to_be_said ... ok\n";
        let slow = "Validation Performance Warning: [ BestPractices-x ] | MessageID = 0x1\nslow\n";
        let nameless = "Validation Warning: something else\n";
        let log = [BEGINNING, hazard, slow, hazard, nameless].concat();
        let failures = read(&log).failures();
        let expected = [
            "BestPractices-x, 1 times, first: slow",
            "SYNC-HAZARD-WRITE-AFTER-WRITE, 2 times, first: vkCmdFillBuffer(): WRITE_AFTER_WRITE hazard \
             detected. Buffer access region: { offset = 0 size = 256 }",
            "Validation Warning: something else, 1 times, first: ",
        ];
        assert_eq!(failures, expected);
    }
}

use proptest::prelude::*;

use super::super::BackEnd;
use super::super::line::lossy;
use super::*;

const FILE: &str = "# For more options and information see\n# http://rpf.io/configtxt\n\ndtparam=audio=on\n  gpu_mem = 16 \narm_64bit=1\n\
                    initramfs initrd.img followkernel\n\n[pi4]\ngpu_mem=76\ndtoverlay=vc4-fkms-v3d\nmax_framebuffers=2\n\n[all]\n\
                    dtoverlay=i2c-rtc,ds1307\ndtparam=wakeup-source\ndtparam=i2c_arm=on\ngpio=4=op,dh\n#dtoverlay=lirc-rpi\n";

fn edited(text: &str, key: &str, values: Option<&[&str]>) -> String {
    let values = values.map(|values| values.iter().map(|value| (*value).to_owned()).collect());
    let changes = Changes::from([(key.to_owned(), values)]);
    lossy(&BackEnd::named("config.txt").unwrap().edit(text.as_bytes(), &changes).unwrap())
}

#[test]
fn what_holds_for_every_board_is_read() {
    let values = read(FILE.as_bytes()).unwrap();
    let expected = [
        ("arm_64bit", vec!["1"]),
        ("dtoverlay", vec!["i2c-rtc,ds1307,wakeup-source"]),
        ("dtparam", vec!["audio=on", "i2c_arm=on"]),
        ("gpio", vec!["4=op,dh"]),
        ("gpu_mem", vec!["16"]),
    ];
    let expected: Values =
        expected.into_iter().map(|(k, v)| (k.to_owned(), v.into_iter().map(str::to_owned).collect())).collect();
    assert_eq!(values, expected);
}

#[test]
fn one_value_is_changed_where_it_stands() {
    assert_eq!(edited(FILE, "gpu_mem", Some(&["64"])), FILE.replace("gpu_mem = 16 ", "gpu_mem = 64"));
    assert_eq!(edited(FILE, "arm_64bit", None), FILE.replace("arm_64bit=1\n", ""));
    assert_eq!(edited(FILE, "hdmi_mode:1", Some(&["4"])), format!("{FILE}hdmi_mode:1=4\n"));
    assert_eq!(edited("a=1\na=2\n", "a", Some(&["3"])), "a=1\na=3\n", "the last one counts");
}

#[test]
fn what_is_added_behind_a_condition_holds_for_every_board() {
    assert_eq!(edited("a=1\n[pi4]\nb=2", "c", Some(&["3"])), "a=1\n[pi4]\nb=2\n[all]\nc=3\n");
    assert_eq!(edited("a=1\r\n[none]\r\n", "a", Some(&["2"])), "a=2\r\n[none]\r\n");
    assert_eq!(edited("[pi4]\r\nb=2\r\n", "c", Some(&["3"])), "[pi4]\r\nb=2\r\n[all]\r\nc=3\r\n");
    assert_eq!(edited("[pi4]\nb=2\n[ALL]\n", "c", Some(&["3"])), "[pi4]\nb=2\n[ALL]\nc=3\n");
}

#[test]
fn lists_keep_what_stays() {
    let overlay = edited(FILE, "dtoverlay", Some(&["i2c-rtc,ds1307,wakeup-source", "w1-gpio,gpiopin=4"]));
    assert_eq!(overlay, format!("{FILE}dtoverlay=w1-gpio\ndtparam=gpiopin=4\n"));
    let none = edited(FILE, "dtoverlay", None);
    assert_eq!(none, FILE.replace("dtoverlay=i2c-rtc,ds1307\ndtparam=wakeup-source\n", ""));
    let swapped = edited("dtoverlay=a\ndtoverlay=b\n", "dtoverlay", Some(&["b", "a"]));
    assert_eq!(swapped, "dtoverlay=b\ndtoverlay=a\n");
}

#[test]
fn a_parameter_of_the_base_is_never_given_to_an_overlay() {
    let text = edited(FILE, "dtparam", Some(&["audio=on", "i2c_arm=on", "watchdog=on"]));
    let values = read(text.as_bytes()).unwrap();
    assert_eq!(values["dtparam"], ["audio=on", "i2c_arm=on", "watchdog=on"]);
    assert_eq!(values["dtoverlay"], ["i2c-rtc,ds1307,wakeup-source"]);
    assert!(text.find("dtparam=watchdog=on").unwrap() < text.find("[pi4]").unwrap(), "{text}");
    // An overlay without a name ends the last one.
    assert_eq!(read(b"dtoverlay=a\ndtoverlay=\ndtparam=x\n").unwrap()["dtparam"], ["x"]);
    assert_eq!(edited("[pi4]\ndtoverlay=a\n", "dtparam", Some(&["x"])), "dtparam=x\n[pi4]\ndtoverlay=a\n");
}

fn some_text() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        "[a-d]=[0-9]{0,2}",
        "(dtoverlay|dtparam|gpio)=[a-c]{0,2}(,[a-c]{1,2})?",
        "dtparam=(audio|i2c)=on",
        "\\[(all|pi4|none|gpio4=1)\\]",
        "[ \t]*#.*",
        "\\PC{0,12}",
    ];
    let end = prop_oneof![Just("\n"), Just("\r\n")];
    prop::collection::vec((line, end), 0..14).prop_map(|lines| {
        let text: String = lines.into_iter().map(|(line, end)| line + end).collect();
        text.into_bytes()
    })
}

fn conditional(text: &[u8]) -> Vec<Vec<u8>> {
    let file = ConfigTxt::parse(text);
    file.lines.into_iter().filter(|line| line.conditional).map(|line| line.bytes).collect()
}

proptest! {
    #[test]
    fn any_bytes_come_back(text in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert_eq!(ConfigTxt::parse(&text).print(), text.clone());
        prop_assert_eq!(edit(&text, &Changes::new()).unwrap(), text);
    }

    #[test]
    fn an_edit_says_what_was_asked_and_touches_nothing_else(
        text in some_text(),
        key in prop_oneof!["[a-d]", Just("dtoverlay".to_owned()), Just("dtparam".to_owned()), Just("gpio".to_owned())],
        values in prop::option::of(prop::collection::vec("[a-c]{1,2}", 1..3)),
    ) {
        let values = values.map(|mut values| { if !LISTS.contains(&key.as_str()) { values.truncate(1); } values });
        let back_end = BackEnd::named("config.txt").unwrap();
        let before = read(&text).unwrap();
        let changes = Changes::from([(key.clone(), values.clone())]);
        let after = back_end.edit(&text, &changes).unwrap();
        let mut expected = before.clone();
        expected.remove(&key);
        expected.extend(values.map(|values| (key.clone(), values)));
        prop_assert_eq!(read(&after).unwrap(), expected, "{}", lossy(&after));
        let (were, are) = (conditional(&text), conditional(&after));
        prop_assert!(were.iter().map(|line| line.trim_ascii()).eq(are.iter().map(|line| line.trim_ascii())));
        prop_assert_eq!(back_end.edit(&after, &changes).unwrap(), after, "a second time changes nothing");
    }
}

// Owns the texts of the page in its two languages. {0} and {1} are filled in.

export const texts = {
  en: {
    other: "中文", otherLanguage: "zh",
    skip: "Skip to the results",
    title: "Speech recognition",
    listen: "Listen",
    start: "Start the microphone",
    stop: "Stop the microphone",
    file: "Recognise a file, or drop one here",
    level: "Level",
    results: "Results",
    nothing: "Nothing was said yet.",
    commands: "Commands",
    commands_label: "One a line, or templates: (open|close) the {device}. Empty: those of the server.",
    token: "Token",
    token_label: "This server needs a token.",
    connecting: "Connecting ...",
    listening: "Listening. Speak now.",
    stopped: "The microphone is off.",
    reading: "Recognising {0} ...",
    read: "{0}: done.",
    gone: "The connection to the server is closed.",
    behind: "The server is {0} s behind.",
    no_microphone: "No microphone: {0}",
    not_secure: "Browsers give the microphone to pages from this machine or over https only.",
    cannot_read: "{0} cannot be read: {1}",
    ready: "Ready: {0} commands ({1} ms).",
    ready_graph: "The sentences of the server's model are ready.",
    making: "Making the list ready ...",
    accepted: "accepted",
    rejected: "rejected",
    confidence: "confidence {0} %",
    threshold: "threshold {0} %",
    uncalibrated: "The model is not calibrated: no confidence.",
    silence: "(nothing)",
    near: "Near: {0}",
    spectrogram: "Spectrogram of the last {0} seconds. Words: {1}",
    no_words: "none",
    words: "Words so far",
    reason_filler: "something else was said",
    reason_low_confidence: "not sure enough",
    reason_no_speech: "nobody spoke",
    reason_too_short: "too short",
    reason_speaker: "another voice",
  },
  zh: {
    other: "English", otherLanguage: "en",
    skip: "跳到识别结果",
    title: "语音识别",
    listen: "聆听",
    start: "打开麦克风",
    stop: "关闭麦克风",
    file: "识别一个文件，或把它拖到这里",
    level: "音量",
    results: "识别结果",
    nothing: "还没有人说话。",
    commands: "命令",
    commands_label: "每行一条，也可以写模板：(打开|关闭){device}。留空则使用服务器的命令。",
    token: "令牌",
    token_label: "这台服务器需要令牌。",
    connecting: "正在连接……",
    listening: "正在聆听，请说话。",
    stopped: "麦克风已关闭。",
    reading: "正在识别 {0}……",
    read: "{0}：完成。",
    gone: "与服务器的连接已断开。",
    behind: "服务器落后 {0} 秒。",
    no_microphone: "没有麦克风：{0}",
    not_secure: "浏览器只允许本机或 https 页面使用麦克风。",
    cannot_read: "无法读取 {0}：{1}",
    ready: "已就绪：{0} 条命令（{1} 毫秒）。",
    ready_graph: "服务器模型的句子已就绪。",
    making: "正在准备命令……",
    accepted: "接受",
    rejected: "拒绝",
    confidence: "置信度 {0} %",
    threshold: "阈值 {0} %",
    uncalibrated: "模型未校准：没有置信度。",
    silence: "（无）",
    near: "相近：{0}",
    spectrogram: "最近 {0} 秒的语谱图。词：{1}",
    no_words: "无",
    words: "目前的词",
    reason_filler: "说的是别的话",
    reason_low_confidence: "把握不足",
    reason_no_speech: "没有人说话",
    reason_too_short: "太短",
    reason_speaker: "不是这个人的声音",
  },
};

const stored = localStorage.getItem("language");
let language = stored in texts ? stored : navigator.language.startsWith("zh") ? "zh" : "en";

export function say(key, ...values) {
  return texts[language][key].replace(/\{(\d)\}/g, (_, number) => values[number]);
}

// Let an element say a text, also after a change of the language.
export function tell(element, key, ...values) {
  element.dataset.text = key;
  element.dataset.values = JSON.stringify(values);
  showText(element);
}

// Let an element show a line of the server, which is English whatever the page speaks.
export function quote(element, line) {
  delete element.dataset.text;
  element.lang = "en";
  element.textContent = line;
}

function showText(element) {
  const {text, values} = element.dataset;
  const line = say(text, ...JSON.parse(values ?? "[]"));
  element.removeAttribute("lang");
  // Said again, it would be read aloud again.
  if (element.textContent !== line) element.textContent = line;
}

export function showLanguage() {
  document.documentElement.lang = language;
  document.querySelectorAll("[data-text]").forEach(showText);
  for (const element of document.querySelectorAll("[data-label]")) {
    element.setAttribute("aria-label", say(element.dataset.label));
  }
  const button = document.getElementById("language");
  button.textContent = say("other");
  button.lang = say("otherLanguage");
}

export function changeLanguage() {
  language = say("otherLanguage");
  localStorage.setItem("language", language);
  showLanguage();
}

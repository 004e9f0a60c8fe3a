// Recordings (µ-law at 8,000 Hz) and notes as sound; one thing sounds at a time.
"use strict";
const sound = (() => {
  const RATE = 8000;
  let context, playing = null;

  const bytes = (base64) => Uint8Array.from(atob(base64 || ""), (c) => c.charCodeAt(0));

  // ITU-T G.711: sign, exponent and mantissa, all bits inverted.
  const decoded = (code) => {
    const u = ~code & 0xff;
    const size = (((u & 0x0f) << 3) + 0x84) << ((u & 0x70) >> 4);
    return (u & 0x80 ? 0x84 - size : size - 0x84) / 32768;
  };

  // Browsers let a page sound only after a key or a click.
  const begin = () => {
    context ??= new AudioContext();
    if (context.state === "suspended") context.resume();
    stop();
    const out = context.createGain();
    out.connect(context.destination);
    playing = out;
    return out;
  };

  const stop = () => {
    if (!playing) return;
    const out = playing;
    playing = null;
    out.gain.setTargetAtTime(0, context.currentTime, 0.02);
    setTimeout(() => out.disconnect(), 200);
  };

  const recording = (base64) => {
    const codes = bytes(base64);
    if (codes.length === 0) return false;
    const out = begin();
    const buffer = context.createBuffer(1, codes.length, RATE);
    buffer.copyToChannel(Float32Array.from(codes, decoded), 0);
    const source = context.createBufferSource();
    source.buffer = buffer;
    source.connect(out);
    source.start();
    return true;
  };

  // Struck and decaying, a little like a piano: three partials, lower notes ring longer.
  const midi = (notes) => {
    const out = begin();
    out.gain.value = 0.5 / Math.sqrt(Math.max(4, notes.length / 4));
    const start = context.currentTime + 0.05;
    for (const { pitch, velocity, onset, duration } of notes) {
      const at = start + onset, end = at + Math.max(0.06, duration);
      const frequency = 440 * 2 ** ((pitch - 69) / 12);
      const ring = Math.max(0.15, 1.2 - (pitch - 40) / 60);
      const gain = context.createGain();
      gain.gain.setValueAtTime(0, at);
      gain.gain.linearRampToValueAtTime((velocity / 127) ** 1.5, at + 0.005);
      gain.gain.setTargetAtTime(0, at + 0.005, ring);
      gain.gain.setTargetAtTime(0, end, 0.05);
      gain.connect(out);
      [1, 0.35, 0.12].forEach((level, i) => {
        if (frequency * (i + 1) > context.sampleRate / 2) return;
        const partial = context.createGain(), oscillator = context.createOscillator();
        partial.gain.value = level;
        oscillator.frequency.value = frequency * (i + 1);
        oscillator.connect(partial).connect(gain);
        oscillator.start(at);
        oscillator.stop(end + 0.4);
      });
    }
  };

  return { bytes, recording, midi, stop };
})();

import { h } from '../base/dom';
import { textButton } from '../base/icons';
import { makeDialog } from './dialog';

/** Takes a picture with the camera; `undefined` where the visitor closes the dialog without one. */
export class Camera {
  #video = h('video', { attrs: { autoplay: true, playsinline: true, muted: true, 'aria-label': 'Camera' } });
  #message = h('p', { class: 'hint', attrs: { role: 'status' } });
  #dialog: HTMLDialogElement;
  #fallback: HTMLInputElement;
  #stream: MediaStream | undefined;
  #shoot: HTMLButtonElement;

  constructor(private readonly onPicture: (file: File) => void) {
    this.#shoot = textButton('camera', 'Take the picture', () => void this.#take(), 'primary');
    this.#dialog = makeDialog('camera', 'Camera', this.#video, this.#message, h('div', { class: 'row' }, this.#shoot));
    this.#dialog.addEventListener('close', () => this.#off());
    // Phones open their own camera for this.
    this.#fallback = h('input', { attrs: { type: 'file', accept: 'image/*', capture: 'environment', hidden: true } });
    this.#fallback.addEventListener('change', () => {
      const [file] = this.#fallback.files ?? [];
      if (file) this.onPicture(file);
      this.#fallback.value = '';
    });
    document.body.append(this.#fallback);
  }

  async open(): Promise<void> {
    // Pages over plain http have no `mediaDevices`.
    if (!navigator.mediaDevices?.getUserMedia) {
      this.#fallback.click();
      return;
    }
    this.#message.textContent = 'Waiting for the camera. The picture stays on this device.';
    this.#shoot.disabled = true;
    this.#dialog.showModal();
    try {
      const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: 'environment' } });
      if (!this.#dialog.open) {
        for (const track of stream.getTracks()) track.stop();
        return;
      }
      this.#stream = stream;
      this.#video.srcObject = stream;
      await this.#video.play();
      this.#message.textContent = '';
      this.#shoot.disabled = false;
    } catch (error) {
      const denied = error instanceof DOMException && error.name === 'NotAllowedError';
      this.#message.textContent = denied
        ? 'The browser was not allowed to use the camera. Allow it in the address bar, or add a picture from a file.'
        : 'There is no camera that can be used. Add a picture from a file instead.';
    }
  }

  async #take(): Promise<void> {
    const { videoWidth, videoHeight } = this.#video;
    const canvas = h('canvas', { attrs: { width: videoWidth, height: videoHeight } });
    canvas.getContext('2d')?.drawImage(this.#video, 0, 0);
    const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, 'image/jpeg', 0.92));
    this.#dialog.close();
    if (blob) this.onPicture(new File([blob], 'Camera picture', { type: blob.type }));
  }

  #off(): void {
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = undefined;
    this.#video.srcObject = null;
  }
}

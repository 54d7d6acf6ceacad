"""Explain a photograph: the prediction, the map as an array, and the map as a picture."""

from pathlib import Path

from candor.client import Client

with Client("127.0.0.1:8001") as client:
    answer = client.explain("photos", ["grad_cam"], images=["cat.jpg"], render=True)
best = answer.prediction.rows[0].top[0]
cam = answer.of("grad_cam")
print(f"{best.label}: {best.probability:.2f}, map {cam.values.shape}")
Path("cat.grad_cam.png").write_bytes(cam.overlay_png)

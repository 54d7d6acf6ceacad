"""For MLServer: an ONNX file as a custom runtime, there being none of its own for ONNX."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.serving.peer_servers.session import open_session

__all__ = ["Onnx"]


class Onnx(MLModel):
    """Runs the file that `parameters.uri` names."""

    async def load(self) -> bool:
        """Open the session."""
        self._session, self._name, _ = open_session(self.settings.parameters.uri)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The first input through the session."""
        given = NumpyCodec.decode_input(payload.inputs[0])
        (found,) = self._session.run(None, {self._name: given})
        output = NumpyCodec.encode_output("logits", found)
        return InferenceResponse(model_name=self.name, outputs=[output])

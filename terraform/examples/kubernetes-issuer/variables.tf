variable "cluster_issuer" {
  description = "Issuer that `kubectl get --raw /.well-known/openid-configuration` names."
  type        = string
}

variable "cluster_jwks_file" {
  description = "Path of the file with what `kubectl get --raw /openid/v1/jwks` prints. Default: none, and Google reaches the issuer."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether a destroy of the pool, its provider and the accounts is refused. Default: true."
  type        = bool
  default     = true
}

variable "namespace" {
  description = "Namespace whose service accounts are admitted. Default: training."
  type        = string
  default     = "training"
}

variable "project_id" {
  description = "Id of the project that owns the pool."
  type        = string
}
